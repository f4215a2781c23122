"""Worker processes: modules of this package that answer requests as lines of JSON in a process of their own.

The parent sends one request per line. The worker answers with events (kind, value): the last one of a request is "done"
with the result, or "error" with class and text of an error of ours.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from .. import errors
from .children import environment_of_child, tie_to_parent
from .machine.variables import positive_number

#: Environment variable with the timeout of a worker in seconds, for slow machines.
VARIABLE = "MAMBAPRO_WORKER_SECONDS"
#: Bytes of standard error that go into a message.
_LAST_WORDS = 1200

#: Function that sends an event to the parent process.
Emit = Callable[[str, Any], None]
W = TypeVar("W", bound="WorkerProcess")


class WorkerEnded(Exception):
    """End of a worker before its answer; `code` is negative for a signal, `said` the end of its stderr."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said or f"its process ended with code {code}")
        self.code, self.said = code, said


class WorkerProcess:
    """Worker process as a context; it ends with this process.

    Args:
        module: whose main program runs `serve`, such as "mambapro.export.engines.worker".
        name: of its subject, for messages.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __enter__(self: W) -> W:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env=environment_of_child(),
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Ctrl-C and errors of ours end it too
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            assert stream is not None
            # an unread request is lost
            with suppress(BrokenPipeError):
                stream.close()

    def send(self, request: dict[str, Any]) -> None:
        """Send a request without waiting for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended: the missing answer reports it

    def events(self, seconds: float | None = None) -> Iterator[tuple[str, Any]]:
        """Yield the events of one request, "done" last.

        Args:
            seconds: timeout between events; None = no limit.

        Raises:
            MambaProError: same class as in the worker.
            SetupError: the timeout has passed.
            WorkerEnded: it ended without an answer.
        """
        asked = positive_number(VARIABLE, threading.TIMEOUT_MAX, "seconds, such as 3600")
        limit = None if seconds is None else asked or seconds
        while True:
            try:
                line = self._lines.get(timeout=limit)
            except queue.Empty:
                raise errors.SetupError(
                    f"{self.name} did not answer within {limit:.0f} s and was ended. Where the machine is slow, set "
                    f"{VARIABLE} to more seconds."
                ) from None
            # without a line break the process ended within the line
            if not line.endswith("\n"):
                raise WorkerEnded(self._process.wait(), self._last_words())
            ((kind, value),) = json.loads(line).items()
            if kind == "error":
                raise getattr(errors, value[0], errors.MambaProError)(value[1])
            yield kind, value
            if kind == "done":
                return

    def answer(self, seconds: float | None = None) -> Any:
        """Return the result of the oldest unanswered request; see `events`."""
        return dict(self.events(seconds))["done"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _LAST_WORDS))
        return self._said.read().decode(errors="replace").strip()


def serve(answer: Callable[[dict[str, Any], Emit], Any]) -> None:
    """Run the main program of a worker: answer the requests on stdin until it ends, or an error does.

    Args:
        answer: function of a request and a function that sends events, which returns the result as plain values.
    """
    tie_to_parent()
    # libraries print: what they print goes to standard error, and the events keep their line to themselves
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(kind: str, value: Any) -> None:
        """Send an event."""
        with lock:
            try:
                events.write(json.dumps({kind: value}) + "\n")
                events.flush()
            except BrokenPipeError:
                # the parent has ended
                os._exit(1)

    try:
        for line in sys.stdin:
            emit("done", answer(json.loads(line), emit))
    except errors.MambaProError as error:
        emit("error", [type(error).__name__, str(error)])
