"""Signals that end a command: exceptions while it runs, immediate exit before and after.

Imports almost nothing, so that an interrupt during other imports is handled too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

INTERRUPTED = "error: interrupted; nothing half-written was left behind."
ENDED = "error: ended by {}; nothing half-written was left behind."
#: Signals that arrived while a command ran.
arrived: list[int] = []
#: Seconds until a suppressed signal is raised again.
_SOON = 0.2
#: Signals ignored while the first one is handled; the next one ends the cleanup.
_PATIENCE = 2


def call(function: Callable[[], T]) -> T:
    """Call `function`. Signals raise exceptions only while this frame is on the stack: the caller catches them."""
    return function()


@contextmanager
def caught() -> Iterator[None]:
    """Handle signals within the block; handlers that were not set by `watch` before are restored at its end."""
    arrived.clear()
    before = watch()
    try:
        yield
    finally:
        _arm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def watch() -> dict[int, Any]:
    """Handle the signals whose default would end the process; return the replaced handlers.

    Ignored signals (nohup) stay ignored.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before
    wanted = {"SIGINT": _signalled, "SIGTERM": _signalled, "SIGHUP": _signalled}
    if hasattr(signal, "setitimer"):
        wanted["SIGALRM"] = _again
    for name, handler in wanted.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, handler)
    return before


def _signalled(number: int, frame: FrameType | None) -> None:
    if not _inside(frame):
        _leave(number)
    arrived.append(number)
    _arm(_SOON)
    if not _on_its_way() or len(arrived) > _PATIENCE:
        _raise(number)


def _again(number: int, frame: FrameType | None) -> None:
    """Raise a signal's exception again that was suppressed in finalizers, callbacks or bare excepts."""
    if arrived and _inside(frame) and not _on_its_way():
        _raise(arrived[0])


def _inside(frame: FrameType | None) -> bool:
    """Find the frame of `call` on the stack."""
    while frame is not None and frame.f_code is not call.__code__:
        frame = frame.f_back
    return frame is not None


def _on_its_way() -> bool:
    """Find the exception of a signal among those that are being handled."""
    handled = sys.exc_info()[1]
    while handled is not None and not isinstance(handled, KeyboardInterrupt | SystemExit):
        handled = handled.__context__
    return handled is not None


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _leave(number: int) -> NoReturn:
    """End the process when no command runs: before it has begun or after its cleanup."""
    if number == signal.SIGINT:
        with suppress(OSError):  # standard error is closed or full
            os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)


def _arm(seconds: float) -> None:
    """Check periodically whether the signal was suppressed; 0 seconds stops that."""
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is _again:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
