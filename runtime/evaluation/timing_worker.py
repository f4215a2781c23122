"""Worker that opens one model and answers requests with the milliseconds of its calls."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from ...common.worker_process import Emit, serve
from ..extractor import open_session
from ..run_options import RunOptions
from ..session import Session
from .latency import MODEL_ONLY, measure_latency, model_call, timed_calls


class Opened(NamedTuple):
    """Call to be timed, and the session of a bundle."""

    call: Callable[[], object]
    session: Session | None = None


class TimingWorker:
    """Request handler of a worker that times the model which `open_model` opens for a job."""

    def __init__(self, open_model: Callable[[dict[str, Any]], Opened]) -> None:
        self._open = open_model

    def __call__(self, request: dict[str, Any], emit: Emit) -> Any:
        """Answer "open" with None, "time" with milliseconds, "latency" with a LatencyReport as JSON."""
        ((kind, order),) = request.items()
        if kind == "open":
            self._opened = self._open(order)
            return None
        if kind == "latency":
            assert self._opened.session is not None
            return measure_latency(self._opened.session, **order).to_json()
        for _ in range(order["warmup"]):
            self._opened.call()
        return statistics.median(timed_calls(self._opened.call, order["runs"], order["seconds"]))


def open_artifact(job: dict[str, Any]) -> Opened:
    """Open an artifact for `batch` samples of the model's size; the other fields of the job are RunOptions."""
    bundle, batch = job.pop("bundle"), job.pop("batch")
    session = open_session(bundle, RunOptions(unverified=True, **job))
    return Opened(model_call(session, batch, MODEL_ONLY), session)


if __name__ == "__main__":
    serve(TimingWorker(open_artifact))
