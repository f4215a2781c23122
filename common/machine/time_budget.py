"""Time limit for the first use of a foreign graph, since it cannot be known whether a graph terminates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ...errors import ArtifactError
from .variables import positive_number

#: Environment variable with a limit in seconds, for slow machines.
VARIABLE = "MAMBAPRO_GRAPH_SECONDS"
#: Seconds for any graph, and for each MB of a model: a slow board loads and runs a few MB in a second.
_LEAST, _PER_MB_LOADED, _PER_MB_RUN = 8.0, 0.5, 0.15

#: How many times its budget a call may take on the clock, while the process is given little of the processor.
_BUSY = 6
_LOOK_SECONDS = 0.5

T = TypeVar("T")

_stuck = threading.Event()


def loading_seconds(size: int) -> float:
    """Return the time limit for loading a model of `size` bytes."""
    return _asked() or _LEAST + _PER_MB_LOADED * size / 1e6


def first_run_seconds(size: int, batch: int) -> float:
    """Return the time limit for the first run of a batch through a model of `size` bytes."""
    return _asked() or _LEAST + _PER_MB_RUN * size / 1e6 * batch


def too_long(what: str, seconds: float) -> ArtifactError:
    """Return the error for a graph that exceeded its time limit."""
    return ArtifactError(
        f"{what} did not end within {seconds:.0f} s, its budget: the graph may never end. Where the machine is slow "
        f"and the model is yours, set {VARIABLE} to more seconds."
    )


def within(call: Callable[[], T], seconds: float, what: str) -> T:
    """Return the result of `call`, run in a thread of its own; `what` names it in the message.

    On a busy machine the seconds are processor time, up to _BUSY times as long on the clock.

    Raises:
        ArtifactError: it takes longer. It cannot be stopped: its thread runs until the process ends.
        Exception: whatever `call` raises.
    """
    job = _Job(call)
    budget = _Budget(seconds)
    # a stuck thread must not block the end of the process
    threading.Thread(target=job.run, daemon=True).start()
    if not budget.ended(job.done):
        _stuck.set()
        raise too_long(what, seconds)
    if job.error is not None:
        raise job.error
    return job.result  # type: ignore[return-value]


def is_stuck() -> bool:
    """Return True if a thread of this process is still running after its limit."""
    return _stuck.is_set()


class _Budget:
    """Time limit in seconds of the clock, or of processor time on a busy machine, up to _BUSY times as long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begun, self._used = time.monotonic(), time.process_time()

    def ended(self, done: threading.Event) -> bool:
        """Wait for `done`; return False if the time is spent before."""
        while not done.wait(min(self.seconds, _LOOK_SECONDS)):
            passed, used = time.monotonic() - self._begun, time.process_time() - self._used
            # a call that only waits ends as well
            if passed >= self.seconds and (used >= self.seconds or passed >= _BUSY * self.seconds):
                return False
        return True


class _Job(Generic[T]):
    def __init__(self, call: Callable[[], T]) -> None:
        self.call = call
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:
            self.error = error
        finally:
            # its objects are freed with the caller's frame, not with this thread
            del self.call
            self.done.set()


class Deadline:
    """Timer that calls `stop` after some seconds, counted as in `within`, unless the block ends first; see `passed`."""

    def __init__(self, stop: Callable[[], Any], seconds: float) -> None:
        self.passed = False
        self._stop, self._seconds = stop, seconds
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._wait, daemon=True)

    def _wait(self) -> None:
        if not _Budget(self._seconds).ended(self._done):
            self.passed = True
            self._stop()

    def __enter__(self) -> Deadline:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()


def _asked() -> float | None:
    return positive_number(VARIABLE, threading.TIMEOUT_MAX, "seconds, such as 60")
