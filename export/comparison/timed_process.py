"""Models that are timed in processes of their own, which stay open from turn to turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from ... import errors
from ...common.children import environment_of_child
from ...errors import MambaProError, SetupError

#: Bytes of what a process said last that go into a message.
_LAST_WORDS = 1000


class TimedProcess:
    """One model in a process of its own, from `with` to its end.

    Args:
        name: of the model, in messages.
        job: of `timed_model.opened`.
        runs, seconds: calls of one turn at least, and how long they take at least.
        warmup: calls before them that do not count.
    """

    def __init__(self, name: str, job: dict[str, Any], runs: int, seconds: float, warmup: int) -> None:
        self.name, self.job = name, job
        self._order = {"runs": runs, "seconds": seconds, "warmup": warmup}

    def __enter__(self) -> TimedProcess:
        """Start the process; it opens its model while others start."""
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mambapro.export.comparison.timed_model"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env=environment_of_child(),
        )
        self._ready = False
        self._send(self.job)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def milliseconds(self) -> float:
        """The median of one turn's calls.

        Raises:
            MambaProError: the model could not be opened or run, of the class that the process met.
            SetupError: the process ended without an answer; gives its last words.
        """
        self.wait()
        self._send(self._order)
        return float(self._answer()["milliseconds"])

    def wait(self) -> None:
        """Wait until the model is open.

        Raises:
            MambaProError: as `milliseconds`.
        """
        if not self._ready:
            self._answer()
            self._ready = True

    def _send(self, value: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # it has ended: the answer that does not come says so
            return

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SetupError(f"{self.name} could not be timed: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind, text = answer["error"]
            found = getattr(errors, kind, MambaProError)
            raise found(text)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _LAST_WORDS))
        return self._said.read().decode(errors="replace").strip() or f"its process ended with code {code}"
