"""Progress of loops with the remaining time: moving bars on a terminal, else a line about once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ...common.progress import duration

T = TypeVar("T")

#: Seconds between two plain lines.
EVERY = 60.0


@dataclass
class _Loop:
    """Running loop and its progress."""

    description: str
    total: int | None
    started: float
    done: int = 0

    def share(self, inner: float) -> float:
        """Return the completed fraction, 0..1; `inner` is that of the current item."""
        return min((self.done + inner) / self.total, 1.0) if self.total else 0.0

    def text(self, now: float, share: float) -> str:
        """Format such as "Extracting features 40 of 800, 3 min left"."""
        count = f"{self.description} {self.done}" + (f" of {self.total}" if self.total is not None else "")
        if not 0 < share < 1:
            return count
        return f"{count}, {duration((now - self.started) * (1 - share) / share)} left"


class PlainLines:
    """Track that writes a line when a loop starts, and about one every minute while it runs.

    Of nested loops only the outermost is announced; the lines show all of them.

    Args:
        write: function that prints a line.
        clock: monotonic seconds.
        every: seconds between two lines.
    """

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic, every: float = EVERY
    ) -> None:
        self._write, self._clock, self._every = write, clock, every
        self._loops: list[_Loop] = []
        self._told = 0.0

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
        """Yield the items."""
        loop = _Loop(description, total, self._clock())
        if not self._loops:
            self._write(f"{description} ({total})" if total is not None else description)
            self._told = loop.started
        self._loops.append(loop)
        try:
            for item in items:
                yield item
                loop.done += 1
                self._tell()
        finally:
            self._loops.remove(loop)

    def _tell(self) -> None:
        now = self._clock()
        if now - self._told < self._every:
            return
        self._told = now
        texts, inner = [], 0.0
        for loop in reversed(self._loops):
            inner = loop.share(inner)
            texts.append(loop.text(now, inner))
        self._write("; ".join(reversed(texts)))


class Bars:
    """Track of moving bars, one below the other for nested loops."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._running = 0

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
        """Yield the items."""
        progress, task = self._started(description, total)
        try:
            for item in items:
                yield item
                progress.advance(task)
        finally:
            progress.remove_task(task)
            self._running -= 1
            if not self._running:
                progress.stop()
                self._progress = None

    def _started(self, description: str, total: int | None) -> tuple[Progress, TaskID]:
        # two live displays at a time are an error of rich
        if self._progress is None:
            text = TextColumn("{task.description}", markup=False)
            columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.start()
        self._running += 1
        return self._progress, self._progress.add_task(description, total=total)
