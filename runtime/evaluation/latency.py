"""Latency of a bundle on this machine: percentiles, end to end and of the model alone, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...common.foreign_text import escaped
from ...common.machine.cpus import usable_cpus
from ...common.machine.memory import peak_memory, resident_memory
from ...common.progress import Track, silent
from ...common.records import Report
from ...common.rounds import ROUNDS, Spread, in_turns
from ...common.tables import text_table
from ...errors import InputError
from ..data.batch import Batch
from ..data.inputs import gather
from ..data.modalities import NIR, RGB, TIR
from ..extractor import Extractor
from ..session import Session

END_TO_END, MODEL_ONLY = "end to end", "model only"

#: Size of source images relative to the model's input, so that the resize is timed too.
SOURCE_SCALE = 2

_MOST_SECONDS = 3600


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call of one batch size.

    `samples_per_second` is the batch over the mean; `rounds` has the p50 of each round.
    """

    scope: str
    batch: int
    runs: int
    p50: float
    p90: float
    p99: float
    mean: float
    samples_per_second: float
    rounds: tuple[float, ...] = ()

    @property
    def spread(self) -> Spread:
        """p50 of each round, or of all calls if the rounds are unknown."""
        return Spread(self.rounds or (self.p50,))

    def warning(self) -> str | None:
        """Return the reason why the numbers are unreliable; None if the rounds agree."""
        if self.spread.agree:
            return None
        low, high, counted = self.spread.low, self.spread.high, self.spread.counted
        return (
            f"{self.scope}, batch {self.batch}: the rounds disagree, p50 between {low:.2f} and {high:.2f} ms in "
            f"{counted}; the machine was busy. Measure again while nothing else runs."
        )


@dataclass(frozen=True)
class LatencyReport(Report):
    """Timings of one bundle.

    "end to end" starts at decoded uint8 images, SOURCE_SCALE times the model's size, and ends at the normalized
    embedding: checks, resize, run, normalization. Reading and decoding files is not included. "model only" is the run
    on arrays of the model's size. `peak_memory` is the largest resident set of the whole process so far, in bytes;
    `memory` is the current one; None where the system does not report them. `threads` None = ONNX Runtime's choice.
    `warnings` list the timings whose rounds disagree.
    """

    bundle: str
    artifact: str
    precision: str
    provider: str
    threads: int | None
    cpus: int
    warmup: int
    source_size: tuple[int, int]
    model_size: tuple[int, int]
    timings: tuple[Timing, ...]
    memory: int | None
    peak_memory: int | None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        threads = "default" if self.threads is None else str(self.threads)
        artifact = f"{escaped(self.bundle)}, {self.artifact}"
        head = f"{artifact}, on {self.provider}, threads {threads}, {self.cpus} CPUs\n{self._scopes()}"
        rows = [("", "batch", "p50 ms", "p90 ms", "p99 ms", "mean ms", "samples/s", "p50 by round")]
        for t in self.timings:
            numbers = *(f"{ms:.2f}" for ms in (t.p50, t.p90, t.p99, t.mean)), f"{t.samples_per_second:.1f}"
            rows.append((t.scope, str(t.batch), *numbers, f"{t.spread.low:.2f} to {t.spread.high:.2f}"))  # type: ignore[arg-type]
        memory = f"memory {_mebibytes(self.memory)} now, {_mebibytes(self.peak_memory)} at most"
        return "\n".join([head, text_table(rows), *self.warnings, memory])

    def _scopes(self) -> str:
        """Describe the start and end of the timed scopes."""
        (high, wide), (height, width) = self.source_size, self.model_size
        meanings = {
            END_TO_END: f"end to end: from decoded images of {high} x {wide} to the result",
            MODEL_ONLY: f"model only: from {height} x {width}",
        }
        timed = dict.fromkeys(timing.scope for timing in self.timings)
        return "; ".join(meanings[scope] for scope in timed if scope in meanings)


def measure_latency(
    session: Session,
    batches: Sequence[int] = (1,),
    runs: int = 50,
    warmup: int = 5,
    track: Track = silent,
    *,
    seconds: float = 0.0,
    scopes: Sequence[str] = (END_TO_END, MODEL_ONLY),
    rounds: int = ROUNDS,
) -> LatencyReport:
    """Time at least `runs` calls per batch size and scope, in interleaved rounds.

    Each turn begins with calls that are not counted, `warmup` of them in the first round and one in the others. If the
    calls of a turn take less than `seconds` together, more follow until that has passed.

    Raises:
        InputError: a batch that the session would split, or numbers below 1.
    """
    if not batches or min(batches) < 1 or runs < 1 or warmup < 0 or rounds < 1:
        raise InputError(
            f"batches, runs and rounds must be at least 1, not {list(batches)}, {runs} and {rounds}; warmup at least 0."
        )
    if not 0 <= seconds <= _MOST_SECONDS:
        raise InputError(f"seconds must be between 0 and {_MOST_SECONDS}, not {seconds}.")
    if max(batches) > session.batch_size:
        raise InputError(
            f"A batch of {max(batches)} would be split into runs of {session.batch_size}. Open the bundle with "
            f"batch_size={max(batches)}, or export it with a dynamic batch."
        )
    rounds = min(rounds, runs)
    stints = {
        (batch, scope): _Stint(model_call(session, batch, scope), -(-runs // rounds), seconds / rounds, warmup)
        for batch in batches
        for scope in scopes
    }
    found = in_turns(stints, rounds, track)
    timings = tuple(_timing(calls, scope, batch) for (batch, scope), calls in found.items())
    pre, memory, peak = session.preprocessing, resident_memory(), peak_memory()
    if memory is not None and peak is not None:
        # the kernel updates the peak in coarser steps than the current memory
        peak = max(memory, peak)
    return LatencyReport(
        bundle=session.metadata.name,
        artifact=session.artifact.stem,
        precision=session.artifact.precision,
        provider=session.provider,
        threads=session.backend.threads,
        cpus=usable_cpus(),
        warmup=warmup,
        source_size=(pre.height * SOURCE_SCALE, pre.width * SOURCE_SCALE),
        model_size=(pre.height, pre.width),
        timings=timings,
        memory=memory,
        peak_memory=peak,
        warnings=tuple(text for timing in timings if (text := timing.warning()) is not None),
    )


def model_call(session: Session, batch: int, scope: str) -> Callable[[], object]:
    """Return a call with random images of `batch` samples, end to end or of the model alone."""
    pre, modalities = session.preprocessing, session.metadata.modalities
    scale = SOURCE_SCALE if scope == END_TO_END else 1
    rng = np.random.default_rng(0)
    shape = (batch, pre.height * scale, pre.width * scale, 3)
    images = {modality: rng.integers(0, 256, shape, np.uint8) for modality in modalities}
    if scope == MODEL_ONLY:
        return lambda: session.run(Batch.of(images))
    if isinstance(session, Extractor):
        return lambda: session(images.get(RGB), images.get(NIR), images.get(TIR))
    return lambda: session.run(gather(images).load(0, batch, pre))


class _Stint:
    """One turn of one case: milliseconds of its calls."""

    def __init__(self, call: Callable[[], object], runs: int, seconds: float, warmup: int) -> None:
        self._call, self._runs, self._seconds, self._warmup = call, runs, seconds, warmup

    def __call__(self) -> list[float]:
        for _ in range(self._warmup):
            self._call()
        # the others only affected the caches
        self._warmup = min(self._warmup, 1)
        return timed_calls(self._call, self._runs, self._seconds)


def timed_calls(call: Callable[[], object], runs: int, seconds: float) -> list[float]:
    """Time at least `runs` calls that take at least `seconds` together. Returns milliseconds of each call."""
    milliseconds: list[float] = []
    begin = start = time.perf_counter()
    while len(milliseconds) < runs or start - begin < seconds:
        call()
        end = time.perf_counter()
        milliseconds.append((end - start) * 1000.0)
        start = end
    return milliseconds


def _timing(rounds: Sequence[Sequence[float]], scope: str, batch: int) -> Timing:
    """Return percentiles of the calls of all rounds together, and the median of each round."""
    times = np.concatenate([np.array(calls) for calls in rounds])
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    mean = float(times.mean())
    medians = tuple(float(np.median(calls)) for calls in rounds)
    return Timing(scope, batch, len(times), p50, p90, p99, mean, batch * 1000.0 / mean, medians)


def _mebibytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.0f} MiB"
