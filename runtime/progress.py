"""Progress without a dependency: long functions take a `Track` and wrap their loop in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable; shows how far it is. `total` is the number of items where it is known."""

    def __call__(self, items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]: ...


def silent(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Track that shows nothing; the default everywhere."""
    return items
