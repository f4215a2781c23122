"""Rows of CSV and JSON Lines files of records."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...common.foreign_text import shown_text, shown_value
from ...common.formats.json_files import parse_json
from ...errors import InputError
from .columns import (
    ATTRIBUTES,
    EMBEDDING,
    FILE,
    FINGERPRINT,
    NAME,
    NO_OTHERS,
    is_of_embedding,
    label_of,
)

#: Longest line in bytes: an embedding of 2**20 numbers.
_LONGEST_LINE = 2**25


@dataclass
class TextRows:
    """Columns of a text file, as they are read."""

    labels: tuple[str, ...] | None = None
    has_embeddings: bool = False
    names: list[str] = field(default_factory=list)
    files: list[str | None] = field(default_factory=list)
    attributes: list[Sequence[str] | None] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)
    fingerprints: set[str] = field(default_factory=set)


def csv_rows(file: BinaryIO, path: Path, embeddings: bool) -> TextRows:
    """Read a CSV file with a head.

    Raises:
        InputError: not UTF-8, without the columns of records, or with a cell that is none; names the line.
    """
    table = csv.reader(_lines(file, path), strict=True)
    try:
        head = next(table, [])
        if NAME not in head or len(set(head)) < len(head):
            raise InputError(
                f"{shown_text(path)} holds no records: its first line has no column {NAME!r}, or one twice."
            )
        at = {column: number for number, column in enumerate(head)}
        labels = {label: column for column in head if (label := label_of(column)) is not None}
        vector = [number for column, number in at.items() if is_of_embedding(column)] if embeddings else []
        rows = TextRows(tuple(labels) if ATTRIBUTES in at else None, bool(vector))
        for cells in table:
            if len(cells) != len(head):
                raise ValueError(f"{len(cells)} cells instead of {len(head)}")
            rows.names.append(cells[at[NAME]])
            rows.files.append(cells[at[FILE]] or None if FILE in at else None)
            known = {} if rows.labels is None else {column: cells[at[column]] or "nan" for column in labels.values()}
            rows.probabilities.append(_probabilities(known))
            rows.attributes.append(_parted(cells[at[ATTRIBUTES]]) if ATTRIBUTES in at else None)
            if vector:
                rows.embeddings.append(np.array([cells[number] for number in vector], np.float64).astype(np.float32))
            if FINGERPRINT in at:
                rows.fingerprints.add(cells[at[FINGERPRINT]])
    except (csv.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _bad_line(path, table.line_num, error) from error
    return rows


def json_rows(file: BinaryIO, path: Path, embeddings: bool) -> TextRows:
    """Read a JSON Lines file.

    Raises:
        InputError: not UTF-8, no objects with the keys of records, or with a value that is none; names the line.
    """
    rows = TextRows()
    for number, line in enumerate(_lines(file, path), 1):
        try:
            _add_object(rows, parse_json(line), embeddings)
        except (ValueError, TypeError, OverflowError) as error:
            raise _bad_line(path, number, error) from error
    return rows


def _add_object(rows: TextRows, value: object, embeddings: bool) -> None:
    if not isinstance(value, dict) or not isinstance(value.get(NAME), str):
        raise ValueError(f"it is no object with {NAME!r}")
    known = {key: item for key, item in value.items() if label_of(key) is not None} if ATTRIBUTES in value else {}
    labels = tuple(str(label_of(key)) for key in known) if ATTRIBUTES in value else None
    vector = embeddings and EMBEDDING in value
    if not rows.names:
        rows.labels, rows.has_embeddings = labels, vector
    if (labels, vector) != (rows.labels, rows.has_embeddings):
        raise ValueError("its keys are not those of the first line")
    rows.names.append(value[NAME])
    rows.files.append(_text_or_none(value.get(FILE)))
    for key, item in known.items():
        if item is not None and type(item) not in (int, float):
            raise ValueError(f"{_column(key)} holds what is no number: {shown_value(item, 60)}. {NO_OTHERS}")
    rows.probabilities.append(_numbers([float("nan") if item is None else item for item in known.values()]))
    names = value.get(ATTRIBUTES)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{ATTRIBUTES!r} is no list of names: {shown_value(names, 60)}")
    rows.attributes.append(names)
    if vector:
        rows.embeddings.append(_numbers(value[EMBEDDING]))
        if len(rows.embeddings[-1]) != len(rows.embeddings[0]):
            raise ValueError(f"its embedding has {len(rows.embeddings[-1])} numbers, not {len(rows.embeddings[0])}")
    if FINGERPRINT in value:
        rows.fingerprints.add(str(_text_or_none(value[FINGERPRINT])))


def _probabilities(cells: dict[str, str]) -> np.ndarray:
    """Convert the cells of columns to numbers; names the column of one that is none."""
    try:
        return np.array(list(cells.values()), np.float64).astype(np.float32)
    except ValueError:
        for column, cell in cells.items():
            try:
                float(cell)
            except ValueError as error:
                raise ValueError(f"{_column(column)}: {shown_text(error, 120)}. {NO_OTHERS}") from None
        raise


def _column(name: str) -> str:
    return f"column {shown_text(name, 60)!r}"


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{shown_value(value, 60)} is no text")
    return value


def _numbers(values: object) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"{shown_value(values, 60)} holds what is no number")
    return np.array(values, np.float64).astype(np.float32)


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        try:
            if len(line) > _LONGEST_LINE:
                raise ValueError(f"it has more than {_LONGEST_LINE:,} bytes")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except ValueError as error:
            raise _bad_line(path, number, error) from error
        yield text


def _parted(cell: str) -> list[str]:
    return next(csv.reader([cell], delimiter=";", strict=True), [])


def _bad_line(path: Path, number: int, error: Exception) -> InputError:
    why = shown_text(error).rstrip(".")
    return InputError(f"The records {shown_text(path)} cannot be read: line {number}: {why}.")
