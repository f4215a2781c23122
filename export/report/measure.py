"""Measurements of the report on this machine: agreement with PyTorch, retrieval, time, for each artifact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from ...common.progress import Track, silent
from ...common.records import Report
from ...common.rounds import in_turns
from ...errors import ArtifactError, ParityError, SetupError
from ...runtime.bundle.artifact import CosineGate, Sidecar
from ...runtime.bundle.bundle import Bundle
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.attributes.attribute_evaluation import AttributeOptions
from ...runtime.evaluation.attributes.attribute_report import AttributeEvaluation
from ...runtime.evaluation.gates.agreement import agreement_of
from ...runtime.evaluation.latency import LatencyReport, Timing
from ...runtime.evaluation.retrieval.analysis import EvaluationOptions
from ...runtime.evaluation.retrieval.report import EvaluationReport
from ...runtime.evaluation.timed_process import artifact_process
from ...runtime.extractor import open_session
from ...runtime.run_options import RunOptions
from ...runtime.selection import why_not
from ...runtime.session import Session
from ...runtime.verification.replay import replay, why_other_type
from .task_views import VIEWS, TaskView

Evaluation = EvaluationReport | AttributeEvaluation

_WARMUP = 3
#: Number of rounds.
ROUNDS = 3


@dataclass(frozen=True)
class Difference:
    """Value of an artifact minus that of the exported model, on the same queries.

    `low` and `high` end its interval, `not_better` is the fraction of resamples without a gain; None without resamples.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float | None = None
    high: float | None = None
    not_better: float | None = None


@dataclass(frozen=True)
class Measured(Report):
    """Measurements of one artifact on this machine.

    Attributes:
        not_run: reason why it does not run here, which is no fault of the artifact; None if it ran.
        failure: error when it ran; None without.
        provider: execution device or provider.
        other_type: reason why it computed in another type, which makes the measurements invalid for its own. None
            otherwise.
        cosine: agreement with PyTorch over the bundle's goldens.
        accuracy: on the given benchmark; None without one.
        against_base: mAP and the like against those of the exported model; empty for itself.
        latency: percentiles.
    """

    not_run: str | None = None
    failure: str | None = None
    provider: str | None = None
    other_type: str | None = None
    cosine: CosineGate | None = None
    accuracy: Evaluation | None = None
    against_base: tuple[Difference, ...] = ()
    latency: LatencyReport | None = None

    def difference(self, name: str) -> Difference | None:
        """Return the paired difference of that name, such as "mAP"."""
        return next((one for one in self.against_base if one.name == name), None)

    def timing(self, scope: str, batch: int) -> Timing | None:
        """Return one case; None if it was not timed."""
        timings = () if self.latency is None else self.latency.timings
        return next((timing for timing in timings if (timing.scope, timing.batch) == (scope, batch)), None)

    def milliseconds(self, scope: str, batch: int) -> float | None:
        """Return the median of one case."""
        timing = self.timing(scope, batch)
        return None if timing is None else timing.p50

    @property
    def batches(self) -> tuple[int, ...]:
        """Timed batch sizes, in order."""
        return () if self.latency is None else tuple(dict.fromkeys(timing.batch for timing in self.latency.timings))


@dataclass(frozen=True)
class Plan:
    """Plan of the measurements.

    Attributes:
        benchmark: its query and gallery; None measures no accuracy.
        options: how accuracy is evaluated; its strips are of the first file that runs.
        batches: batch sizes to time; those that an engine cannot take become its largest.
        runs: timed calls of each.
    """

    benchmark: Benchmark | None
    options: EvaluationOptions | AttributeOptions
    batches: tuple[int, ...]
    runs: int


def measure_all(bundle: Bundle, artifacts: Sequence[Sidecar], plan: Plan, track: Track = silent) -> list[Measured]:
    """Measure the artifacts one after the other, compared with the first one.

    One that does not run here, or fails, is reported with its reason, and the others follow.

    Raises:
        InputError: a benchmark whose images cannot be read or scored.
    """
    found: list[Measured] = []
    for sidecar in track(artifacts, "Measuring files", len(artifacts)):
        first = found[0].accuracy if found else None
        found.append(_measured(bundle, sidecar, plan, first, track))
    return _timed_in_turns(bundle, artifacts, found, plan, track)


def _measured(bundle: Bundle, sidecar: Sidecar, plan: Plan, base: Evaluation | None, track: Track) -> Measured:
    opening = RunOptions(unverified=True)
    reason = why_not(bundle, sidecar, opening)
    if reason is not None:
        return Measured(not_run=reason)
    try:
        with open_session(bundle, opening, sidecar) as extractor:
            # any value is shown next to its limit
            gate, _ = replay(extractor, bundle.golden(), math.inf)
            accuracy = _accuracy(extractor, sidecar, plan, track, sidecar == bundle.base)
            return Measured(
                provider=extractor.provider,
                other_type=_other_type(extractor),
                cosine=replace(
                    gate, limit=min(sidecar.max_departure, agreement_of(bundle.metadata).limits[sidecar.precision])
                ),
                accuracy=accuracy,
                against_base=_against(VIEWS[bundle.metadata.task], base, accuracy, plan.options),
            )
    except SetupError as error:
        return Measured(not_run=str(error))
    except (ArtifactError, ParityError) as error:
        return Measured(failure=str(error))


def _timed_in_turns(
    bundle: Bundle, artifacts: Sequence[Sidecar], found: Sequence[Measured], plan: Plan, track: Track
) -> list[Measured]:
    """Return each file that ran with the percentiles of its middle round, by the median of its first case."""
    failures: dict[int, str] = {}

    def turn(i: int) -> LatencyReport | None:
        """Time a file once."""
        if i in failures:
            return None
        try:
            return _timed(bundle.folder, artifacts[i], _batches(artifacts[i], plan), plan.runs)
        except SetupError as error:
            failures[i] = str(error)
            return None

    candidates: dict[int, Callable[[], LatencyReport | None]] = {
        i: partial(turn, i) for i, one in enumerate(found) if one.cosine is not None
    }
    rounds = in_turns(candidates, ROUNDS, track)
    return [
        replace(one, latency=_joined(rounds.get(i, ())), failure=failures.get(i, one.failure))
        for i, one in enumerate(found)
    ]


def _joined(rounds: Sequence[LatencyReport | None]) -> LatencyReport | None:
    """Return the middle one of the rounds, by the median of its first case, with the medians of all in each case."""
    done = [report for report in rounds if report is not None]
    if not done:
        return None
    middle = sorted(done, key=lambda report: report.timings[0].p50)[len(done) // 2]
    timings = tuple(
        replace(timing, rounds=tuple(report.timings[i].p50 for report in done))
        for i, timing in enumerate(middle.timings)
    )
    warnings = tuple(text for timing in timings if (text := timing.warning()) is not None)
    return replace(middle, timings=timings, warnings=warnings)


def _batches(sidecar: Sidecar, plan: Plan) -> tuple[int, ...]:
    """Return the batches to time, those that an engine does not support replaced by its largest."""
    if sidecar.profile is None:
        return plan.batches
    return tuple(dict.fromkeys(min(batch, sidecar.profile.largest) for batch in plan.batches))


def _accuracy(extractor: Session, sidecar: Sidecar, plan: Plan, track: Track, base: bool) -> Evaluation | None:
    if plan.benchmark is None:
        return None
    strips = plan.options.strips
    # drawn once, by the first file that runs
    options = plan.options if strips is None or not strips.exists() else replace(plan.options, strips=None)
    view = VIEWS[extractor.metadata.task]
    found: Evaluation = view.evaluate(extractor, sidecar.stem, plan.benchmark, options, track, base)
    return found


def _other_type(extractor: Session) -> str | None:
    why = why_other_type(extractor)
    if why is None:
        return None
    return f"computed in {getattr(extractor.backend, 'precision', 'f32')} here: {why}"


def _against(
    view: TaskView,
    base: Evaluation | None,
    found: Evaluation | None,
    options: EvaluationOptions | AttributeOptions,
) -> tuple[Difference, ...]:
    if base is None or found is None:
        return ()
    # the differences themselves need no resamples
    paired = view.differences(base, found, options.bootstrap or 1, options.seed)
    differences = tuple(Difference(**asdict(one)) for one in paired)
    if options.bootstrap:
        return differences
    return tuple(replace(one, low=None, high=None, not_better=None) for one in differences)


def _timed(folder: Path, sidecar: Sidecar, batches: tuple[int, ...], runs: int) -> LatencyReport:
    """Return percentiles from a process of its own: the threads of one runtime slow down another's.

    Raises:
        SetupError: it could not be timed.
    """
    with artifact_process(folder, sidecar, batch=max(batches)) as process:
        return process.latency(batches, runs, _WARMUP)
