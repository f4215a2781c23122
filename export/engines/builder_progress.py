"""Progress of TensorRT's builder as one number."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Percent:
    """Turns nested phases into whole percents, which only grow.

    A phase is one step of the phase it belongs to; how long a step takes nobody knows.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        #: phase -> (its parent, its steps, those that are done)
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._told = 0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins."""
        with self._lock:
            self._phases[phase] = (parent, max(steps, 1), 0)

    def step(self, phase: str, step: int) -> None:
        """Step number `step`, from 0, is done."""
        with self._lock:
            if phase not in self._phases:
                return
            parent, steps, _ = self._phases[phase]
            self._phases[phase] = (parent, steps, min(step + 1, steps))
            percent = int(100 * self._share(phase))
            if percent > self._told:
                self._told = percent
                self._tell(percent)

    def finish(self, phase: str) -> None:
        """A phase has ended."""
        with self._lock:
            self._phases.pop(phase, None)

    def _share(self, phase: str) -> float:
        """How much of the whole is done, as far as this phase and those around it tell."""
        share, name = 0.0, phase
        seen = set()
        while name in self._phases and name not in seen:
            seen.add(name)
            parent, steps, done = self._phases[name]
            share = min((done + share) / steps, 1.0)
            if parent is None:
                return share
            name = parent
        # a phase whose parent is not known says nothing about the whole
        return 0.0


def monitor(trt: Any, percent: Percent) -> Any:
    """An IProgressMonitor of the module `trt` that hands everything to `percent`."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            percent.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            percent.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            percent.finish(phase_name)

    return Monitor()
