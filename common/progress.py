"""Progress interface without dependencies: long functions take a `Track` and wrap their loop in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wrapper of an iterable that shows progress. `total` is the number of items if known."""

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
        """Iterate over `items` and show the progress."""


def silent(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Iterate without showing progress; the default everywhere."""
    return items


def duration(seconds: float) -> str:
    """Format seconds: "20 s", "3 min", "2 h 10 min"."""
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
