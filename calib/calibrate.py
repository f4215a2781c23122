"""Calibration: the float32 model runs on images, and every quantized tensor gets a scale."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from .. import __version__
from ..common.foreign_text import escaped
from ..common.machine.packages import installed_versions
from ..common.progress import Track, silent
from ..common.records import encode
from ..errors import ArtifactError, InputError
from ..graph.layers import Point, points
from ..graph.onnx_file import graph_sha256, load_model
from ..graph.scales import Activation, ScaleTable, read_table
from ..graph.smooth import foldable_norms
from ..runtime.bundle.metadata import BundleMetadata
from .batches import Feeds
from .coverage import coverage_of
from .images import CalibrationImages
from .memory import require_memory
from .ranges import COPIES_OF_MODEL, Save, collect, groups_of, session_with
from .result import Calibration
from .statistics import Tensor, TensorStatistics, require_finite, tensors_of
from .threshold_selection import choose, matrix_of, rows_of, rows_worth, window_of
from .thresholds import ALGORITHMS, AUTO, DEFAULT_PERCENTILE

log = logging.getLogger("mambapro")

#: Seed of the choice of rows that errors are measured on.
_SEED = 7
#: Packages whose versions decide the numbers.
_PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "pillow")
#: Raised when scales are computed in another way, so that no older table is taken from a cache.
_METHOD = 3


@dataclass(frozen=True)
class CalibrationOptions:
    """Options of a calibration.

    Attributes:
        algorithm: "auto" picks for each tensor by measured error; or one of ALGORITHMS for all.
        percentile: of the percentile algorithm, in percent.
        smooth: fold LayerNorm channels into the next Linears where that lowers the error.
        batch: samples of a run; the model's own where that is fixed.
        save_seconds: how often unfinished statistics are saved, where there is a cache.
    """

    algorithm: str = AUTO
    percentile: float = DEFAULT_PERCENTILE
    smooth: bool = True
    batch: int = 2
    save_seconds: float = field(default=20.0, compare=False)

    def __post_init__(self) -> None:
        if self.algorithm not in (AUTO, *ALGORITHMS):
            raise InputError(f"algorithm must be one of {', '.join((AUTO, *ALGORITHMS))}, not {self.algorithm!r}.")
        if not 50 < self.percentile <= 100:
            raise InputError(f"percentile must be above 50 and at most 100, not {self.percentile}.")
        if self.batch < 1:
            raise InputError(f"batch must be at least 1, not {self.batch}.")


def calibrate(
    model_file: Path,
    metadata: BundleMetadata,
    images: CalibrationImages,
    options: CalibrationOptions | None = None,
    cache: Path | None = None,
    track: Track = silent,
) -> Calibration:
    """Compute the scales of a model.

    Args:
        model_file: the bundle's float32 ONNX file.
        metadata: the bundle's.
        images: from `calibration_images`.
        options: None = the defaults.
        cache: folder for unfinished statistics and finished tables; an interrupted run goes on from there, with the
            same result to the bit. None = keep nothing.
        track: shows progress.

    Raises:
        InputError: an image that cannot be read.
        SetupError: not enough memory, no room.
        ArtifactError: not a float32 model of ours; NaN or infinity; nothing but constants where ranges should be.
    """
    started = time.monotonic()
    options = options or CalibrationOptions()
    coverage = coverage_of(images)
    keys = _Keys(model_file, metadata, images, options)
    file = None if cache is None else cache / f"scales-{keys.table}.json"
    table = _cached(file)
    if table is not None:
        return Calibration(table, coverage, True, time.monotonic() - started)
    save = Save(None if cache is None else cache / f"statistics-{keys.statistics}.npz", options.save_seconds)
    activations, constant = _activations(model_file, metadata, images, options, save, track)
    count, algorithm = len(images.images), options.algorithm
    space = metadata.fingerprint
    table = ScaleTable(activations, count, keys.model, images.sha256, algorithm, space, keys.versions, constant)
    if file is not None:
        table.save(file)
    return Calibration(table, coverage, False, time.monotonic() - started)


class _Keys:
    """Names of cached files: hashes over everything that decides what is in them."""

    def __init__(
        self, model_file: Path, metadata: BundleMetadata, images: CalibrationImages, options: CalibrationOptions
    ) -> None:
        if not model_file.is_file():
            raise InputError(f"There is no model file {escaped(model_file)}.")
        self.model = graph_sha256(model_file)
        self.versions = {"mambapro": __version__, **installed_versions(_PACKAGES)}
        seen = {
            "model": self.model,
            "images": images.sha256,
            "preprocessing": encode(metadata.preprocessing),
            "batch": metadata.batch or options.batch,
            "versions": self.versions,
        }
        self.statistics = _hash(seen)
        how = {"method": _METHOD, "options": {**encode(options), "save_seconds": None}}
        self.table = _hash({**seen, **how, "feature_space": metadata.fingerprint})


def _hash(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _cached(file: Path | None) -> ScaleTable | None:
    if file is None or not file.is_file():
        return None
    try:
        return read_table(file)
    except ArtifactError as error:
        log.warning("%s Calibrating anew.", error)
        return None


def _activations(
    model_file: Path,
    metadata: BundleMetadata,
    images: CalibrationImages,
    options: CalibrationOptions,
    save: Save,
    track: Track,
) -> tuple[tuple[Activation, ...], tuple[str, ...]]:
    """Return the scales, and the modules that have none because their input never changes."""
    size = model_file.stat().st_size
    require_memory(COPIES_OF_MODEL * size, "Calibration")
    model = load_model(model_file)
    found = points(model)
    _require_float32(model, found)
    tensors = tensors_of(model, found, foldable_norms(model, found), metadata.batch)
    held = _held(len(images.images))
    feeds = Feeds([image for i, image in enumerate(images.images) if i not in held], metadata, options.batch)
    groups = groups_of(tensors, feeds.batch, size)
    statistics = collect(model, groups, feeds, save, track)
    constant = _constant(tensors, statistics)
    tested = Feeds([images.images[i] for i in sorted(held)], metadata, options.batch)
    measurement = _Measurement(model, found, tested, options, track)
    varying = [[tensor for tensor in group if not statistics[tensor.name].constant] for group in groups]
    return tuple(entry for group in varying if group for entry in measurement.chosen(group, statistics)), constant


def _constant(tensors: Sequence[Tensor], statistics: dict[str, TensorStatistics]) -> tuple[str, ...]:
    """Return the modules whose input never changed, with a warning for each.

    Raises:
        ArtifactError: there are no others.
    """
    found = [tensor for tensor in tensors if statistics[tensor.name].constant]
    if len(found) == len(tensors):
        raise ArtifactError(
            "The inputs of all layers are constant on the calibration images: no layer has a scale. The checkpoint was "
            "never trained or is damaged, or all images are the same."
        )
    for tensor in found:
        log.warning(
            "The input of %s is %g throughout, on every calibration image: it has no scale and stays in float. "
            "Calibrate with images of all three sensors; if it stays constant the layer was never trained.",
            ", ".join(tensor.modules),
            statistics[tensor.name].low,
        )
    return tuple(module for tensor in found for module in tensor.modules)


def _require_float32(model: onnx.ModelProto, found: tuple[Point, ...]) -> None:
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    half = [point.module for point in found if weights[point.weight] != TensorProto.FLOAT]
    if half:
        raise ArtifactError(
            f"{len(half)} layers of the model are float16, such as {half[0]}. Calibrate the float32 bundle of the "
            "checkpoint: its table serves the float16 one as well."
        )


def _held(count: int) -> set[int]:
    """Return the images held out of the ranges, to measure errors: one in eight, 16 at most, spread over the list."""
    held = min(16, max(2, count // 8))
    return {i * count // held for i in range(held)}


class _Measurement:
    """Errors of scales in the layers' outputs, on images held out of the ranges."""

    def __init__(
        self, model: onnx.ModelProto, found: Sequence[Point], tested: Feeds, options: CalibrationOptions, track: Track
    ) -> None:
        self.model, self.tested, self.options, self.track = model, tested, options, track
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes = {node.name: node for node in model.graph.node}
        self.readers: dict[str, list[Point]] = {}
        for point in found:
            self.readers.setdefault(point.input, []).append(point)

    def chosen(self, group: Sequence[Tensor], statistics: dict[str, TensorStatistics]) -> list[Activation]:
        """Return the scales of the tensors of one group."""
        rows, options = self._rows(group), self.options
        result = []
        for tensor in self.track(group, "Measuring errors: tensors", len(group)):
            every, matrix = rows.pop(tensor.name), matrix_of(self.weights, self.readers[tensor.name])
            how = (options.algorithm, options.percentile, options.smooth)
            result.append(choose(statistics[tensor.name], every, matrix, *how))
        return result

    def _rows(self, group: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Return rows (rows, inputs) of each tensor to measure errors on, as many of every batch."""
        rows: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in group}
        # one for each tensor: memory decides which are in a group, and may not decide which rows are drawn
        generators = {name: np.random.default_rng([_SEED, *name.encode()]) for name in rows}
        counts = {name: -(-rows_worth(self.weights, self.readers[name]) // len(self.tested)) for name in rows}
        first = {name: self.readers[name][0] for name in rows}
        windows = {name: window_of(self.nodes[p.node], self.weights[p.weight]) for name, p in first.items()}
        with session_with(self.model, group) as backend:
            for batch in self.track(range(len(self.tested)), "Running held images", len(self.tested)):
                values = backend.run(self.tested[batch])
                for tensor in group:
                    name = tensor.name
                    rows[name].append(rows_of(values[name], windows[name], counts[name], generators[name]))
                    require_finite(tensor, rows[name][-1])
        return {name: np.concatenate(parts) for name, parts in rows.items()}
