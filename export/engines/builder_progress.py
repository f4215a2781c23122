"""Progress of TensorRT's builder as one number."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Percent:
    """Conversion of nested phases to ascending whole percents.

    A phase is one step of its parent phase; durations of steps are unknown.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        #: phase -> (its parent, its steps, its completed steps)
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._told = 0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin a phase of `steps` steps."""
        with self._lock:
            self._phases[phase] = (parent, max(steps, 1), 0)

    def step(self, phase: str, step: int) -> None:
        """Complete step number `step`, from 0."""
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
        """End a phase."""
        with self._lock:
            self._phases.pop(phase, None)

    def _share(self, phase: str) -> float:
        """Return the completed fraction of the whole, as far as this phase and its parents determine it."""
        share, name = 0.0, phase
        seen = set()
        while name in self._phases and name not in seen:
            seen.add(name)
            parent, steps, done = self._phases[name]
            share = min((done + share) / steps, 1.0)
            if parent is None:
                return share
            name = parent
        # a phase with an unknown parent does not determine the whole
        return 0.0


def monitor(trt: Any, percent: Percent) -> Any:
    """Return an IProgressMonitor of the module `trt` that forwards all calls to `percent`."""

    class Monitor(trt.IProgressMonitor):
        """Progress monitor."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Forward the start of a phase."""
            percent.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Forward a step; return True to continue."""
            percent.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            """Forward the end of a phase."""
            percent.finish(phase_name)

    return Monitor()
