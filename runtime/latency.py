"""How long a bundle takes on this machine: percentiles, end to end and of the model alone, and memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .extractor import Extractor
from .modalities import NIR, RGB, TIR
from .progress import Track, silent

END_TO_END, MODEL_ONLY = "end to end", "model only"

#: Source images are this many times as high and wide as the model's input, so that the resize is timed too.
SOURCE_SCALE = 2

_MOST_SECONDS = 3600


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call of one batch size. `samples_per_second` is the batch over the mean."""

    scope: str
    batch: int
    runs: int
    p50: float
    p90: float
    p99: float
    mean: float
    samples_per_second: float


@dataclass(frozen=True)
class LatencyReport:
    """Timings of one bundle.

    "end to end" starts at decoded uint8 images, SOURCE_SCALE times the model's size, and ends at the normalised
    embedding: checks, resize, run, normalisation. Reading and decoding files is not in it. "model only" is the run on
    arrays of the model's size. `peak_memory` is the largest resident set of the whole process so far, in bytes;
    `memory` is that of now; None where the system does not tell. `threads` None = ONNX Runtime's choice.
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

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        return {**values, **{name: list(values[name]) for name in ("source_size", "model_size", "timings")}}

    def __str__(self) -> str:
        threads = "default" if self.threads is None else str(self.threads)
        head = (
            f"{self.bundle}, {self.artifact}, on {self.provider}, threads {threads}, {self.cpus} CPUs\n"
            f"end to end: from decoded images of {self.source_size[0]} x {self.source_size[1]} to the normalised "
            f"embedding; model only: from {self.model_size[0]} x {self.model_size[1]}"
        )
        rows = [("", "batch", "p50 ms", "p90 ms", "p99 ms", "mean ms", "samples/s")]
        for t in self.timings:
            numbers = (t.p50, t.p90, t.p99, t.mean)
            rows.append((t.scope, str(t.batch), *(f"{ms:.2f}" for ms in numbers), f"{t.samples_per_second:.1f}"))  # type: ignore[arg-type]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        )
        return f"{head}\n{table}\nmemory {_mebibytes(self.memory)} now, {_mebibytes(self.peak_memory)} at most"


def measure_latency(
    extractor: Extractor,
    batches: Sequence[int] = (1,),
    runs: int = 50,
    warmup: int = 5,
    track: Track = silent,
    *,
    seconds: float = 0.0,
    scopes: Sequence[str] = (END_TO_END, MODEL_ONLY),
) -> LatencyReport:
    """Time `runs` calls per batch size and scope, one after the other, after `warmup` calls that do not count.

    Where they take less than `seconds` together, more follow until that has passed.

    Raises:
        InputError: a batch that the extractor would split, or numbers below 1.
    """
    if not batches or min(batches) < 1 or runs < 1 or warmup < 0:
        raise InputError(f"batches and runs must be at least 1, not {list(batches)} and {runs}; warmup at least 0.")
    if not 0 <= seconds <= _MOST_SECONDS:
        raise InputError(f"seconds must be between 0 and {_MOST_SECONDS}, not {seconds}.")
    if max(batches) > extractor.batch_size:
        raise InputError(
            f"A batch of {max(batches)} would be split into runs of {extractor.batch_size}. Open the bundle with "
            f"batch_size={max(batches)}, or export it with a dynamic batch."
        )
    cases = [(batch, scope) for batch in batches for scope in scopes]
    timings = tuple(
        _timing(_call(extractor, batch, scope), scope, batch, runs, warmup, seconds)
        for batch, scope in track(cases, "Timing", len(cases))
    )
    pre, memory, peak = extractor.preprocessing, resident_memory(), peak_memory()
    if memory is not None and peak is not None:
        # the kernel keeps the peak in coarser steps than the memory of now
        peak = max(memory, peak)
    return LatencyReport(
        bundle=extractor.metadata.name,
        artifact=extractor.artifact.stem,
        precision=extractor.artifact.precision,
        provider=extractor.provider,
        threads=extractor.backend.threads,
        cpus=usable_cpus(),
        warmup=warmup,
        source_size=(pre.height * SOURCE_SCALE, pre.width * SOURCE_SCALE),
        model_size=(pre.height, pre.width),
        timings=timings,
        memory=memory,
        peak_memory=peak,
    )


def _call(extractor: Extractor, batch: int, scope: str) -> Callable[[], object]:
    pre, modalities = extractor.preprocessing, extractor.metadata.modalities
    scale = SOURCE_SCALE if scope == END_TO_END else 1
    rng = np.random.default_rng(0)
    shape = (batch, pre.height * scale, pre.width * scale, 3)
    images = {modality: rng.integers(0, 256, shape, np.uint8) for modality in modalities}
    if scope == MODEL_ONLY:
        return lambda: extractor.embed(images)
    return lambda: extractor(images.get(RGB), images.get(NIR), images.get(TIR))


def _timing(call: Callable[[], object], scope: str, batch: int, runs: int, warmup: int, seconds: float = 0.0) -> Timing:
    for _ in range(warmup):
        call()
    found: list[float] = []
    begin = start = time.perf_counter()
    while len(found) < runs or start - begin < seconds:
        call()
        end = time.perf_counter()
        found.append((end - start) * 1000.0)
        start = end
    times = np.array(found)
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    mean = float(times.mean())
    return Timing(scope, batch, len(times), p50, p90, p99, mean, batch * 1000.0 / mean)


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resident_memory() -> int | None:
    """Resident memory of this process now, bytes; None where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int | None:
    """Largest resident memory of this process since its start, bytes; None on systems without getrusage."""
    try:
        import resource
    except ImportError:
        return None
    # Kibibytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _mebibytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.0f} MiB"
