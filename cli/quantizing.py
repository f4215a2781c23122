"""Joins calibration to the building of artifacts, which do not know each other."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.foreign_text import escaped
from ..errors import ArtifactError, InputError
from .terminal.console import needs, track

if TYPE_CHECKING:
    from ..calib.calibrate import Calibration
    from ..calib.images import CalibrationImages
    from ..calib.policy import Policy
    from ..export.artifacts.build_artifact import Quantization, Quantize
    from ..export.artifacts.range_check import RangeCheck
    from ..graph.layers import Point
    from ..graph.scales import ScaleTable
    from ..runtime.bundle.bundle import Bundle
    from ..runtime.bundle.metadata import BundleMetadata

log = logging.getLogger("mambapro")

#: Batches that the range check of float16 looks at.
_RANGE_BATCHES = 8


class Quantizer:
    """Calibration of one bundle, done when the first artifact asks for it.

    Args:
        folder: the bundle.
        dataset: benchmark that `calib` or `data` holds, or None.
        data: root of `dataset` where that is not `calib`; its test images are refused for calibration.
        calib: folder of calibration images, or the root of `dataset`; None = there are none.
        calib_images: samples to take.
        algorithm: of the ranges.
        scales: table of an earlier calibration, in place of `calib`.
        policy: YAML of the layers that stay in float.
        insist: calibrate on test images all the same.
        unpaired: take sensors' folders whose names have nothing in common.

    Raises:
        InputError: a folder, table or policy that is not there or cannot be read, or both images and a table.
        ArtifactError: a table of another schema.
    """

    def __init__(
        self,
        folder: Path,
        dataset: str | None,
        data: Path | None,
        calib: Path | None,
        calib_images: int,
        algorithm: str,
        scales: Path | None,
        policy: Path | None,
        insist: bool,
        unpaired: bool = False,
    ) -> None:
        self.folder, self.dataset, self.calib, self.count = folder, dataset, calib, calib_images
        self.algorithm, self.insist, self.unpaired = algorithm, insist, unpaired
        if calib is not None and scales is not None:
            raise InputError(
                f"Both calibration images ({escaped(calib)}) and a table ({scales}) were given; give one of them."
            )
        if calib is not None and not calib.is_dir():
            raise InputError(f"There is no folder {escaped(calib)} of calibration images.")
        whole = benchmark_root(calib, dataset) is not None
        self.data = None if whole else data
        self.whole = whole
        self._read: CalibrationImages | None = None
        with needs("calib"):
            self.policy = None if policy is None else _policy(policy)
            self.given = None if scales is None else _table(scales)

    def require_samples(self) -> None:
        """Refuse calibration images that are too few, before anything long is begun.

        Raises:
            InputError: how many there are.
        """
        if self.calib is None:
            return
        with needs("calib"):
            from ..calib.images import require_samples

        require_samples(self.calib, self.dataset if self.whole or self.data else None, self.unpaired)

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle."""
        from ..runtime.bundle.bundle import Bundle

        return Bundle.open(self.folder)

    @property
    def quantize(self) -> Quantize | None:
        """Makes int8 models; None without calibration images and without a table."""
        return None if self.calib is None and self.given is None else self._quantize

    @property
    def range_check(self) -> RangeCheck | None:
        """Finds what must stay float32 in float16; None without calibration images."""
        return None if self.calib is None else self._range_check

    @property
    def images(self) -> CalibrationImages:
        """The calibration images."""
        return self._images(self.bundle.metadata)

    def _images(self, metadata: BundleMetadata) -> CalibrationImages:
        """The calibration images, read once; an export asks before there is a bundle."""
        if self._read is None:
            self._read = self._read_images(metadata)
        return self._read

    def _read_images(self, metadata: BundleMetadata) -> CalibrationImages:
        with needs("calib"):
            from ..calib.images import calibration_images
        from ..runtime.suited import warn_of_other_benchmark

        warn_of_other_benchmark(metadata, self.dataset)
        assert self.calib is not None
        return calibration_images(
            self.calib,
            metadata.ranged().preprocessing,
            self.dataset if self.whole or self.data else None,
            self.data,
            count=self.count,
            insist=self.insist,
            unpaired=self.unpaired,
            track=track,
        )

    @cached_property
    def calibration(self) -> Calibration:
        """The table of scales, from the cache if it is there."""
        with needs("calib"):
            from ..calib.calibrate import CalibrationOptions, calibrate
        from ..plugins.compile import cache_folder
        from ..runtime.bundle.checksums import MODEL

        metadata, images, options = self.bundle.metadata.ranged(), self.images, CalibrationOptions(self.algorithm)
        with self.bundle.named_copy(MODEL) as model:
            found = calibrate(model, metadata, images, options, cache_folder() / "calibration", track)
        log.info("%s", found)
        return found

    def table(self) -> ScaleTable:
        """The scales: those that were given, or calibrated now.

        Raises:
            ArtifactError: the table is of another model.
        """
        if self.given is None:
            return self.calibration.table
        from ..graph.model_file import graph_sha256
        from ..runtime.bundle.checksums import MODEL

        metadata = self.bundle.metadata
        mine, its = metadata.feature_space.id, self.given.feature_space
        # the float16 model of a checkpoint is another graph of the same feature space
        if mine == its and metadata.precision.label == "fp32":
            with self.bundle.named_copy(MODEL) as model:
                mine, its = graph_sha256(model), self.given.model
        if mine != its:
            raise ArtifactError(
                f"The table of scales is of another model ({its[:16]}) than {escaped(self.folder)} "
                f"({mine[:16]}). Calibrate "
                "this checkpoint's float32 bundle: mambapro calibrate."
            )
        return self.given

    def _quantize(self, model: Any, target: str) -> Quantization:
        """The model in int8, with the table and the policy."""
        from ..common.files.atomic import json_text
        from ..export.artifacts.build_artifact import Quantization
        from ..graph.layers import points
        from ..graph.quantize import int8_points, quantized, with_scales

        found, layout = points(model), "tensorrt" if target == "tensorrt-rtx" else target
        # a policy of another model is told before the calibration, which is long
        asked = None if self.policy is None else self.policy.modules(found)
        chosen = int8_points(found, layout, asked)
        _require_some(chosen, target)
        table = self.table()
        chosen = with_scales(chosen, table, () if self.policy is None else self.policy.insisted)
        _require_some(chosen, target)
        modules = {point.module for point in chosen}
        made = quantized(model, table, layout, modules)
        return Quantization(made, tuple(sorted(modules)), json_text(table.to_json()))

    def _range_check(self, model: Any, metadata: BundleMetadata) -> tuple[str, ...]:
        """Modules whose values come near the end of float16 on the calibration images."""
        from ..calib.batches import Feeds
        from ..export.artifacts.range_check import range_check

        feeds = Feeds(self._images(metadata).images, metadata, 2)
        found = range_check(model, [feeds[i] for i in range(min(_RANGE_BATCHES, len(feeds)))], track=track)
        log.info("%s", found)
        return found.keep


def benchmark_root(calib: Path | None, dataset: str | None) -> Path | None:
    """`calib` where it is the root of a benchmark, whose test part can gate the accuracy; None for a plain folder."""
    plain = calib is None or any((calib / name).is_dir() for name in ("rgb", "nir", "tir"))
    return None if plain or dataset is None else calib


def _require_some(chosen: tuple[Point, ...], target: str) -> None:
    """Raise InputError where no layer is left for int8."""
    if not chosen:
        raise InputError(
            f"No layer of an artifact for {target} would compute in int8: the policy leaves all of them in float, or "
            "what it leaves has no scale. Put layers in int8 in the policy, or build another precision."
        )


def _policy(file: Path) -> Policy:
    from ..calib.policy import read_policy

    return read_policy(file)


def _table(file: Path) -> ScaleTable:
    from ..graph.scales import read_table

    if not file.is_file():
        raise InputError(f"There is no table of scales {escaped(file)}. mambapro calibrate writes one.")
    return read_table(file)
