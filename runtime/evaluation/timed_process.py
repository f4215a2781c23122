"""Timing of models in separate processes, since the threads of one runtime may spin while another computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...common.records import RecordError, decode
from ...common.worker_process import WorkerEnded, WorkerProcess
from ...errors import MambaProError, SetupError
from ..bundle.artifact import Sidecar
from ..run_options import RunOptions
from .latency import LatencyReport

#: Worker of bundles, see `timing_worker`.
WORKER = "mambapro.runtime.evaluation.timing_worker"
#: Timeout of a worker in seconds: of its start, and for each timed sample on a very slow machine.
_START_SECONDS, _SAMPLE_SECONDS = 600.0, 60.0

#: Fields of RunOptions for a worker.
_OPTIONS = ("target", "precision", "device", "allow_fallback", "threads", "mode", "load_plugins", "batch_size")


class TimedProcess(WorkerProcess):
    """Model in a process of its own, which stays open between turns.

    Args:
        name: of the model, in messages.
        job: argument of the worker's function that opens the model.
        worker: module of the worker.
    """

    def __init__(self, name: str, job: dict[str, Any], worker: str = WORKER) -> None:
        super().__init__(worker, name)
        self._job, self._ready = job, False

    def __enter__(self) -> TimedProcess:
        """Start the process; it opens its model while others start."""
        super().__enter__()
        self.send({"open": self._job})
        return self

    def wait(self) -> None:
        """Wait until the model is open.

        Raises:
            MambaProError: the model could not be opened; same class as in the process.
            SetupError: the process ended, or did not answer in time.
        """
        if not self._ready:
            self._timed_answer(0)
            self._ready = True

    def milliseconds(self, runs: int, seconds: float, warmup: int, batch: int = 1) -> float:
        """Return the median of at least `runs` calls over at least `seconds`, after `warmup` calls.

        Raises:
            MambaProError, SetupError: as `wait`.
        """
        self.wait()
        self.send({"time": {"runs": runs, "seconds": seconds, "warmup": warmup}})
        return float(self._timed_answer(batch * (runs + warmup)))

    def latency(self, batches: tuple[int, ...], runs: int, warmup: int) -> LatencyReport:
        """Measure the latency of a bundle in one round.

        Raises:
            MambaProError, SetupError: as `wait`.
        """
        self.wait()
        self.send({"latency": {"batches": batches, "runs": runs, "warmup": warmup, "rounds": 1}})
        answer = self._timed_answer(2 * sum(batches) * (runs + warmup))
        try:
            return decode(LatencyReport, answer)
        except RecordError as error:
            raise SetupError(f"{self.name} could not be timed: {error}") from error

    def _timed_answer(self, samples: int) -> Any:
        try:
            return self.answer(_START_SECONDS + _SAMPLE_SECONDS * samples)
        except WorkerEnded as error:
            raise SetupError(f"{self.name} could not be timed: {error}") from error


@contextmanager
def artifact_process(
    folder: Path, artifact: Sidecar, options: RunOptions | None = None, batch: int = 1
) -> Iterator[TimedProcess]:
    """Start the process that times one artifact of a bundle in any state; `batch` samples at most.

    Raises:
        SetupError: the artifact could not be opened or run.
    """
    options = replace(options or RunOptions(), target=artifact.target, precision=artifact.precision, batch_size=batch)
    job = {"bundle": str(folder), "batch": batch, **{name: getattr(options, name) for name in _OPTIONS}}
    try:
        with TimedProcess(artifact.stem, job) as process:
            yield process
    except MambaProError as error:
        text = str(error)
        raise SetupError(
            text if text.startswith(artifact.stem) else f"{artifact.stem} could not be timed: {text}"
        ) from error
