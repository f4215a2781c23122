"""Joins calibration to the building of artifacts, which do not know each other."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import needs, track

if TYPE_CHECKING:
    from ..calib.calibrate import Calibration
    from ..calib.images import CalibrationImages
    from ..export.build import Quantization, Quantize, RangeCheck
    from ..runtime.bundle import Bundle

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
        policy: YAML of the layers that stay in float.
        insist: calibrate on test images all the same.
    """

    def __init__(
        self,
        folder: Path,
        dataset: str | None,
        data: Path | None,
        calib: Path | None,
        calib_images: int,
        algorithm: str,
        policy: Path | None,
        insist: bool,
    ) -> None:
        self.folder, self.dataset, self.calib, self.count = folder, dataset, calib, calib_images
        self.algorithm, self.policy_file, self.insist = algorithm, policy, insist
        sensors = calib is not None and any((calib / name).is_dir() for name in ("rgb", "nir", "tir"))
        whole = calib is not None and dataset is not None and not sensors
        #: Root of the benchmark that calibrates; its test part can gate the accuracy.
        self.benchmark_root: Path | None = calib if whole else None
        self.data = None if whole else data

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle."""
        from ..runtime.bundle import Bundle

        return Bundle.open(self.folder)

    @property
    def quantize(self) -> Quantize | None:
        """Makes int8 models; None without calibration images."""
        return None if self.calib is None else self._quantize

    @property
    def range_check(self) -> RangeCheck | None:
        """Finds what must stay float32 in float16; None without calibration images."""
        return None if self.calib is None else self._range_check

    @cached_property
    def images(self) -> CalibrationImages:
        """The calibration images."""
        with needs("calib"):
            from ..calib.images import calibration_images

        assert self.calib is not None
        return calibration_images(
            self.calib,
            self.bundle.metadata.preprocessing,
            self.dataset if self.benchmark_root or self.data else None,
            self.data,
            count=self.count,
            insist=self.insist,
            track=track,
        )

    @cached_property
    def calibration(self) -> Calibration:
        """The table of scales, from the cache if it is there."""
        with needs("calib"):
            from ..calib.calibrate import CalibrationOptions, calibrate
        from ..plugins.compile import cache_folder
        from ..runtime.bundle import MODEL

        found = calibrate(
            self.bundle.file(MODEL),
            self.bundle.metadata,
            self.images,
            CalibrationOptions(self.algorithm),
            cache_folder() / "calibration",
            track,
        )
        log.info("%s", found)
        return found

    def _quantize(self, model: Any, target: str) -> Quantization:
        """The model in int8, with the table and the policy."""
        from ..calib.points import points
        from ..calib.policy import read_policy
        from ..calib.qdq import int8_points, quantized
        from ..export.build import Quantization
        from ..runtime.files import json_text

        table, found = self.calibration.table, points(model)
        layout = "tensorrt" if target == "tensorrt-rtx" else target
        asked = None if self.policy_file is None else read_policy(self.policy_file).modules(found)
        modules = {point.module for point in int8_points(found, layout, asked)}
        made = quantized(model, table, layout, modules)
        return Quantization(made, tuple(sorted(modules)), json_text(table.to_json()))

    def _range_check(self, model: Any) -> tuple[str, ...]:
        """Modules whose values come near the end of float16 on the calibration images."""
        from ..calib.feeds import Feeds
        from ..export.range_check import range_check

        feeds = Feeds(self.images.images, self.bundle.metadata, 2)
        found = range_check(model, [feeds[i] for i in range(min(_RANGE_BATCHES, len(feeds)))], track=track)
        log.info("%s", found)
        return found.keep
