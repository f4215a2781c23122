"""What the report measures on the machine at hand: agreement with PyTorch, retrieval, time; each artifact by itself."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import MambaProError
from ...runtime.bootstrap import PairedDifference, paired_differences
from ...runtime.bundle import Bundle
from ...runtime.check import cosine_departures
from ...runtime.data.sample import Benchmark
from ...runtime.evaluate import feature_function
from ...runtime.evaluation import EvaluationOptions, evaluate_model
from ...runtime.evaluation_report import EvaluationReport
from ...runtime.extractor import Extractor
from ...runtime.latency import LatencyReport, measure_latency
from ...runtime.metadata import CAMERA, EMBEDDING, MODALITY_MASK
from ...runtime.progress import Track, silent
from ...runtime.sidecar import Sidecar

_WARMUP = 3


@dataclass(frozen=True)
class Replay:
    """1 - cosine to PyTorch over the bundle's goldens, here: the largest, the mean, and the largest allowed."""

    provider: str
    samples: int
    largest: float
    mean: float
    limit: float

    @property
    def passed(self) -> bool:
        """Within the limit; NaN is not."""
        return self.largest <= self.limit


@dataclass(frozen=True)
class Measured:
    """One artifact on this machine.

    Attributes:
        problem: why it does not run here, or why a measurement failed; None if it ran.
        replay: agreement with PyTorch; None where it did not run.
        accuracy: retrieval on the benchmark that was given; None without one.
        against_base: mAP and the like minus those of the exported model, paired by query; empty for itself.
        latency: percentiles; None where it did not run.
    """

    problem: str | None = None
    replay: Replay | None = None
    accuracy: EvaluationReport | None = None
    against_base: tuple[PairedDifference, ...] = ()
    latency: LatencyReport | None = None

    def difference(self, name: str) -> PairedDifference | None:
        """The paired difference of that name, such as "mAP"."""
        return next((found for found in self.against_base if found.name == name), None)

    def milliseconds(self, scope: str, batch: int) -> float | None:
        """Median of one case."""
        timings = () if self.latency is None else self.latency.timings
        return next((timing.p50 for timing in timings if (timing.scope, timing.batch) == (scope, batch)), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "problem": self.problem,
            "replay": None if self.replay is None else {**vars(self.replay), "passed": self.replay.passed},
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "against_base": [difference.to_json() for difference in self.against_base],
            "latency": None if self.latency is None else self.latency.to_json(),
        }


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        benchmark: its query and gallery; None measures no accuracy.
        options: how accuracy is evaluated; its strips are of the exported model.
        batches: batch sizes to time; those that an engine cannot take are left out.
        runs: timed calls of each.
    """

    benchmark: Benchmark | None
    options: EvaluationOptions
    batches: tuple[int, ...]
    runs: int


def measure_all(bundle: Bundle, artifacts: Sequence[Sidecar], plan: Plan, track: Track = silent) -> list[Measured]:
    """Measure the artifacts one after the other; the first is the one that the others are compared with.

    One that does not run here is told with its reason, and the others go on.
    """
    found: list[Measured] = []
    for sidecar in artifacts:
        first = found[0].accuracy if found else None
        found.append(_measure(bundle, sidecar, plan, first, track))
    return found


def _measure(bundle: Bundle, sidecar: Sidecar, plan: Plan, base: EvaluationReport | None, track: Track) -> Measured:
    options = plan.options if base is None else _without_strips(plan.options)
    try:
        with _open(bundle, sidecar, 1) as extractor:
            replay = _replay(bundle, sidecar, extractor)
            accuracy = None
            if plan.benchmark is not None:
                function, preprocessing = feature_function(extractor), extractor.preprocessing
                accuracy = evaluate_model(
                    plan.benchmark, function, preprocessing, options, model=sidecar.stem, track=track
                )
    except MambaProError as error:
        return Measured(problem=str(error))
    differences: tuple[PairedDifference, ...] = ()
    if base is not None and accuracy is not None:
        resamples = plan.options.bootstrap
        differences = paired_differences(base.whole, accuracy.whole, resamples, plan.options.seed) if resamples else ()
    batches = tuple(batch for batch in plan.batches if sidecar.profile is None or batch <= sidecar.profile.largest)
    latency, problem = _timed_apart(bundle.folder, sidecar, batches, plan.runs)
    return Measured(problem, replay, accuracy, differences, latency)


def _without_strips(options: EvaluationOptions) -> EvaluationOptions:
    return EvaluationOptions(
        bootstrap=options.bootstrap, seed=options.seed, subsets=options.subsets, per_modality=options.per_modality
    )


def _open(bundle: Bundle | Path, sidecar: Sidecar, batch: int) -> Extractor:
    """The artifact, verified before or not: the report says which."""
    size = None if sidecar.profile is None else min(batch, sidecar.profile.largest)
    return Extractor(bundle, batch_size=size, target=sidecar.target, precision=sidecar.precision, unverified=True)


def _replay(bundle: Bundle, sidecar: Sidecar, extractor: Extractor) -> Replay:
    golden, metadata = bundle.golden(), extractor.metadata
    mask = [golden.inputs[name] for name in metadata.names(MODALITY_MASK)]
    cameras = [golden.inputs[name] for name in metadata.names(CAMERA)]
    images = {name: golden.inputs[name] for name in metadata.modalities}
    embeddings = extractor.embed(images, mask[0] if mask else None, cameras[0] if cameras else None)
    departures = cosine_departures(golden.outputs[metadata.names(EMBEDDING)[0]], embeddings)
    largest, mean = float(departures.max()), float(departures.mean())
    return Replay(extractor.provider, golden.samples, largest, mean, sidecar.max_departure)


def _timed_apart(
    folder: Path, sidecar: Sidecar, batches: tuple[int, ...], runs: int
) -> tuple[LatencyReport | None, str | None]:
    """Percentiles from a process of its own: the threads of one runtime slow down another's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_time, folder, sidecar, batches, runs).result(), None
        except MambaProError as error:
            return None, f"It ran, but could not be timed: {error}"
        except BrokenProcessPool:
            return None, "It ran, but the process that timed it ended without a word; is there enough memory?"


def _time(folder: Path, sidecar: Sidecar, batches: tuple[int, ...], runs: int) -> LatencyReport:
    with _open(folder, sidecar, max(batches)) as extractor:
        return measure_latency(extractor, batches, runs, _WARMUP)
