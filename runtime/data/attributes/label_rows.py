"""Labels of one image by name, as a light view of its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Label of an attribute that was not judged.
NOT_JUDGED = 2


class LabelRow(Mapping[str, int]):
    """Labels of one image: 0 or 1 by the attribute's name; those that were not judged are missing.

    A set of 100,000 images has as many of these, so each holds the bytes of its row and shares the columns.
    """

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Mapping[str, int], row: bytes) -> None:
        self._columns = columns
        self._row = row

    def __getitem__(self, name: str) -> int:
        label = self._row[self._columns[name]]
        if label == NOT_JUDGED:
            raise KeyError(name)
        return label

    def get(self, name: str, default: Any = None) -> Any:
        """Return the label of a name, or `default` where there is none."""
        column = self._columns.get(name)
        label = NOT_JUDGED if column is None else self._row[column]
        return default if label == NOT_JUDGED else label

    def __contains__(self, name: object) -> bool:
        column = self._columns.get(name)  # type: ignore[call-overload]
        return column is not None and self._row[column] != NOT_JUDGED

    def __iter__(self) -> Iterator[str]:
        return (name for name, column in self._columns.items() if self._row[column] != NOT_JUDGED)

    def __len__(self) -> int:
        return len(self._row) - self._row.count(NOT_JUDGED)

    def __repr__(self) -> str:
        return repr(dict(self))
