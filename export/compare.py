"""A checkpoint in PyTorch beside its exported bundles: accuracy, agreement, latency, in one run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..runtime.artifacts import artifacts_of
from ..runtime.bundle import Bundle
from ..runtime.check import cosine_departures
from ..runtime.data.benchmarks import benchmark_info, read_benchmark
from ..runtime.data.sample import Benchmark
from ..runtime.evaluate import FeatureFunction, evaluate_benchmark, feature_function
from ..runtime.extractor import Extractor
from ..runtime.latency import usable_cpus
from ..runtime.metrics import RetrievalReport
from ..runtime.opening import Opening, why_not
from ..runtime.preprocess import Preprocessing
from ..runtime.progress import Track, silent
from ..train.evaluate import torch_feature_function
from ..train.models.weights import load_checkpoint
from .describe import feature_space_of
from .plan import preprocessing_of

log = logging.getLogger("mambapro")

_WARMUP = 3


@dataclass(frozen=True)
class ComparisonRow:
    """One model. `map` and `rank_1` are fractions; `min_cosine` is to PyTorch's features, over query and gallery;
    `milliseconds` is the median for one sample, images decoded and resized; `speedup` is against PyTorch."""

    model: str
    map: float
    rank_1: float
    min_cosine: float
    milliseconds: float
    speedup: float


@dataclass(frozen=True)
class Comparison:
    """PyTorch in the first row, then the bundles."""

    dataset: str
    queries: int
    gallery: int
    cpus: int
    rows: tuple[ComparisonRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return asdict(self)

    def __str__(self) -> str:
        width = max(len("model"), *(len(row.model) for row in self.rows))
        head = f"{'model':{width}}     mAP  Rank-1    min cosine  ms, batch 1  against PyTorch"
        lines = [
            f"{row.model:{width}}  {row.map:6.1%}  {row.rank_1:6.1%}  {row.min_cosine:12.10f}  "
            f"{row.milliseconds:11.1f}  {row.speedup:14.2f}x"
            for row in self.rows
        ]
        title = f"{self.dataset}: {self.queries} queries, gallery of {self.gallery}, {self.cpus} CPU cores"
        return "\n".join([title, head, *lines])


def compare_bundles(
    checkpoint: Path,
    bundles: Sequence[Path],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    image_size: tuple[int, int] | None = None,
    switches: Mapping[str, Any] | None = None,
    runs: int = 20,
    track: Track = silent,
) -> Comparison:
    """Evaluate a checkpoint and its bundles on a benchmark and time them in turns, on the CPU.

    Of a bundle everything that runs here is taken: the exported model, and the artifacts built from it.

    Raises:
        InputError: a checkpoint, folder or benchmark that cannot be used, or a bundle of another checkpoint.
        ArtifactError: a corrupt checkpoint or bundle.
    """
    benchmark = read_benchmark(dataset, data)
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(checkpoint, image_size, default_image_size=usual, **(switches or {}))
    preprocessing = preprocessing_of(model.config)
    functions: dict[str, FeatureFunction] = {"PyTorch fp32": torch_feature_function(model)}
    space = feature_space_of(model).id
    for path in bundles:
        bundle = Bundle.open(path)
        if bundle.metadata.feature_space.id != space:
            raise InputError(
                f"{path} is of another feature space than {checkpoint}: it was exported from "
                f"{bundle.metadata.checkpoint.file}, with other weights or other switches."
            )
        name = path.resolve().name
        functions |= _functions(bundle, str(path) if name in functions else name)
    measured = {name: _evaluate(benchmark, function, preprocessing, track) for name, function in functions.items()}
    times = _time_in_turns(functions, preprocessing, runs)
    return _comparison(benchmark, measured, times)


def _functions(bundle: Bundle, name: str) -> dict[str, FeatureFunction]:
    """The exported model under the bundle's name, each artifact under its own too."""
    opening = Opening(device="cpu")
    found: dict[str, FeatureFunction] = {}
    for sidecar in artifacts_of(bundle):
        reason = why_not(bundle, sidecar, opening)
        if reason is not None:
            log.info("leaving out %s of %s: %s", sidecar.stem, name, reason)
            continue
        extractor = Extractor(bundle, "cpu", target=sidecar.target, precision=sidecar.precision)
        found[f"{name} {sidecar.stem}" if found else name] = feature_function(extractor)
    return found


class _Recorder:
    """A feature function that keeps what it returned."""

    def __init__(self, function: FeatureFunction) -> None:
        self.function = function
        self.parts: list[np.ndarray] = []

    def __call__(
        self, rgb: list[np.ndarray], nir: list[np.ndarray], tir: list[np.ndarray], cameras: np.ndarray
    ) -> np.ndarray:
        self.parts.append(self.function(rgb, nir, tir, cameras))
        return self.parts[-1]


def _evaluate(
    benchmark: Benchmark, function: FeatureFunction, preprocessing: Preprocessing, track: Track
) -> tuple[RetrievalReport, np.ndarray]:
    """Accuracy, and the features of every sample in a fixed order."""
    recorder = _Recorder(function)
    report = evaluate_benchmark(benchmark, recorder, preprocessing, track=track)
    return report, np.concatenate(recorder.parts)


def _time_in_turns(functions: dict[str, FeatureFunction], preprocessing: Preprocessing, runs: int) -> dict[str, float]:
    """Median milliseconds for one sample. The models take turns, so that a busy machine is busy for all of them."""
    rng = np.random.default_rng(0)
    shape = (preprocessing.height, preprocessing.width, 3)
    rgb, nir, tir = ([rng.integers(0, 256, shape, dtype=np.uint8)] for _ in range(3))
    cameras = np.zeros(1, np.int64)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(_WARMUP + runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function(rgb, nir, tir, cameras)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values[_WARMUP:])) for name, values in times.items()}


def _comparison(
    benchmark: Benchmark, measured: dict[str, tuple[RetrievalReport, np.ndarray]], times: dict[str, float]
) -> Comparison:
    reference = next(iter(measured))
    expected = measured[reference][1]
    rows = tuple(
        ComparisonRow(
            model=name,
            map=report.map,
            rank_1=report.rank(1),
            min_cosine=1.0 - float(cosine_departures(expected, features).max()),
            milliseconds=times[name],
            speedup=times[reference] / times[name],
        )
        for name, (report, features) in measured.items()
    )
    return Comparison(benchmark.name, len(benchmark.query), len(benchmark.gallery), usable_cpus(), rows)
