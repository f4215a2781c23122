"""Int8 copies of a model and its float16 range check, from calibration images or a table of scales."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnx

from ...calib.batches import Feeds
from ...calib.calibrate import CalibrationOptions, calibrate
from ...calib.float16_range import range_check
from ...calib.images import CalibrationImages, calibration_images, is_flat, require_samples
from ...calib.policy import read_policy
from ...common.files.atomic import json_text
from ...common.foreign_text import escaped
from ...common.progress import Track, silent
from ...errors import ArtifactError, InputError
from ...graph.layers import Point, points
from ...graph.onnx_file import graph_sha256
from ...graph.quantize import int8_points, quantized, with_scales
from ...graph.scales import ScaleTable, read_table
from ...plugins.compile import cache_folder
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.checksums import MODEL
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.bundle.module_roles import ModuleRoles
from ...runtime.suited import warn_of_other_benchmark
from .build_options import QuantizeOptions

log = logging.getLogger("mambapro")

#: Batches of the float16 range check.
_RANGE_BATCHES = 8


@dataclass(frozen=True)
class QuantizedModel:
    """Int8 copy of a model, the names of the modules in int8, and the scales as JSON text."""

    model: onnx.ModelProto
    modules: tuple[str, ...]
    table: str


class Quantizer:
    """Scales and images for all artifacts of one bundle; images are read and calibrated once.

    Args:
        options: images or a table, and the policy.
        track: shows progress.

    Raises:
        InputError: a table or policy that is missing or cannot be read, or too few images.
        ArtifactError: a table of another schema.
    """

    def __init__(self, options: QuantizeOptions, track: Track = silent) -> None:
        self.options, self._track = options, track
        # a preset's name means something for a model only, see `suit`
        policy = options.policy
        is_file = policy is not None and (policy.suffix or policy.name != str(policy) or os.path.lexists(policy))
        self.policy = read_policy(cast(Path, policy)) if is_file else None
        self._table = None if options.scales is None else _stored_table(options.scales)
        self._images: CalibrationImages | None = None
        self._kept_fp32: tuple[str, ...] | None = None
        #: a test set is searched for the calibration images unless they are its own training part
        self._data = None if options.benchmark_root is not None else options.data
        self._dataset = options.dataset if options.benchmark_root is not None or self._data else None
        #: whether these images are ones of a model's sensors is known with the model only
        self._flat = options.calib is not None and options.benchmark_root is None and is_flat(options.calib)
        if options.calib is not None and not self._flat:
            require_samples(options.calib, self._dataset, options.unpaired, data=self._data)

    def suit(self, roles: ModuleRoles, modalities: Sequence[str]) -> None:
        """Read what depends on the model: the name of a policy, images without folders of sensors.

        Raises:
            InputError: the model has no such policy, there are too few images, or not of its sensors.
        """
        options = self.options
        if options.policy is not None and self.policy is None:
            self.policy = read_policy(options.policy, roles)
        if options.calib is not None and self._flat:
            require_samples(options.calib, self._dataset, options.unpaired, modalities, self._data)

    def quantize(self, model: onnx.ModelProto, target: str, bundle: Bundle) -> QuantizedModel:
        """Quantize the model for a target, by the scales and the policy.

        Raises:
            InputError: a policy of another model, or no layer would compute in int8.
            ArtifactError: the table is of another model than the bundle.
        """
        layers, layout = points(model), "tensorrt" if target == "tensorrt-rtx" else target
        # a policy of another model is rejected before the long calibration
        chosen = int8_points(layers, layout, None if self.policy is None else self.policy.modules(layers))
        _require_some(chosen, target)
        table = self.table(bundle)
        chosen = with_scales(chosen, table, () if self.policy is None else self.policy.insisted)
        _require_some(chosen, target)
        modules = {point.module for point in chosen}
        return QuantizedModel(
            quantized(model, table, layout, modules), tuple(sorted(modules)), json_text(table.to_json())
        )

    def table(self, bundle: Bundle) -> ScaleTable:
        """Return the scales: of the given table, or calibrated on the images (cached in the user's cache).

        Raises:
            ArtifactError: the table is of another model.
        """
        if self._table is None:
            with bundle.named_copy(MODEL) as model:
                metadata, options = bundle.metadata.ranged(), CalibrationOptions(self.options.algorithm)
                cache = cache_folder() / "calibration"
                calibration = calibrate(model, metadata, self.images(metadata), options, cache, self._track)
            log.info("%s", calibration)
            self._table = calibration.table
        elif self.options.scales is not None:
            _require_same_model(self._table, bundle)
        return self._table

    def images(self, metadata: BundleMetadata) -> CalibrationImages:
        """Return the calibration images, read once; an export needs them before there is a bundle."""
        if self._images is None:
            options = self.options
            assert options.calib is not None
            warn_of_other_benchmark(metadata, options.dataset)
            self._images = calibration_images(
                options.calib,
                metadata.ranged().preprocessing,
                self._dataset,
                self._data,
                count=options.calib_images,
                insist=options.allow_test_images,
                unpaired=options.unpaired,
                modalities=metadata.modalities,
                track=self._track,
            )
        return self._images

    def kept_fp32(
        self, model: onnx.ModelProto, metadata: BundleMetadata, samples: Callable[[], Mapping[str, np.ndarray]]
    ) -> tuple[str, ...]:
        """Return the names of modules that must stay float32 in float16, by their values on images; computed once.

        Args:
            model: in float32.
            metadata: of the bundle.
            samples: inputs of a few samples, (N, ...) each, where there are no calibration images.
        """
        if self._kept_fp32 is None:
            if self.options.calib is not None:
                batches = Feeds(self.images(metadata).images, metadata, 2)
                feeds = [batches[i] for i in range(min(_RANGE_BATCHES, len(batches)))]
            else:
                # one at a time: for a few samples, most of the time is spent on newly allocated memory
                values = samples()
                count = min(map(len, values.values()))
                feeds = [{name: value[i : i + 1] for name, value in values.items()} for i in range(count)]
            report = range_check(model, feeds, track=self._track)
            log.info("%s", report)
            self._kept_fp32 = report.keep
        return self._kept_fp32


def _require_some(chosen: tuple[Point, ...], target: str) -> None:
    """Raise InputError if no layer is left for int8."""
    if not chosen:
        raise InputError(
            f"No layer of an artifact for {target} would compute in int8: the policy leaves all of them in float, or "
            "what it leaves has no scale. Put layers in int8 in the policy, or build another precision."
        )


def _require_same_model(table: ScaleTable, bundle: Bundle) -> None:
    metadata = bundle.metadata
    expected, actual = metadata.fingerprint, table.feature_space
    # the float16 model of a checkpoint is another graph of the same feature space
    if expected == actual and metadata.precision.label == "fp32":
        with bundle.named_copy(MODEL) as model:
            expected, actual = graph_sha256(model), table.model
    if expected != actual:
        raise ArtifactError(
            f"The table of scales is of another model ({actual[:16]}) than {escaped(bundle.folder)} "
            f"({expected[:16]}). Calibrate this checkpoint's float32 bundle: mambapro calibrate."
        )


def _stored_table(file: Path) -> ScaleTable:
    if not file.is_file():
        raise InputError(f"There is no table of scales {escaped(file)}. mambapro calibrate writes one.")
    return read_table(file)
