"""Binding of loaded models to their process: fork() copies memory and handles, but no threads.

A runtime whose threads are gone hangs or crashes, also when it is freed. In a child of fork() its handles are therefore
never touched: they stay in memory until the child ends.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import NoReturn, Protocol
from weakref import WeakSet

from ...common.foreign_text import escaped
from ...errors import InputError


class Forkable(Protocol):
    """Object that must be notified of fork()."""

    def after_fork(self) -> None:
        """Release nothing but forget everything; called in the child before other code."""
        ...


_watched: WeakSet[Forkable] = WeakSet()


def watch(item: Forkable) -> None:
    """Call `item.after_fork` in every child of fork(), as long as the item lives."""
    _watched.add(item)


def never_free(handles: Iterable[object]) -> None:
    """Keep objects of a runtime forever, so that garbage collection in a child does not wait for missing threads."""
    for handle in handles:
        if handle is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))


def refuse_fork(name: str, opened_by: int) -> NoReturn:
    """Raise InputError: a model of the parent cannot be used in this process."""
    raise InputError(
        f"The model was opened in {name} by process {opened_by}; this is its child {os.getpid()}, where the threads "
        "and the device of that process do not exist. Open it in the child itself, for example in the initializer of a "
        'Pool or the worker_init_fn of a DataLoader, or start processes with the method "spawn".'
    )


class ProcessBound:
    """Base of backends that work only in the process that created them and cannot be pickled."""

    name: str
    _process: int

    def bind(self) -> None:
        """Remember this process; called when the model is loaded."""
        self._process = os.getpid()
        watch(self)

    def require_own_process(self) -> None:
        """Raise InputError in a child of fork()."""
        if self._process != os.getpid():
            refuse_fork(self.name, self._process)

    @property
    def elsewhere(self) -> bool:
        """True in a child of the process that loaded the model."""
        return self._process != os.getpid()

    def after_fork(self) -> None:
        """Drop the handles that cannot be used or freed in a child."""
        raise NotImplementedError

    def __reduce__(self) -> NoReturn:
        raise InputError(
            f"A model that is loaded in {escaped(self.name)} cannot be pickled or copied. Pickle the "
            "Extractor, which opens its "
            "bundle again, or pass the path."
        )


def _after_fork() -> None:
    for item in list(_watched):
        item.after_fork()


# not on Windows, where there is no fork
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
