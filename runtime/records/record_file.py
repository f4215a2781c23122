"""Reading of files of records, in every format that is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.files.open_files import open_regular
from ...common.foreign_text import shown_text
from ...errors import InputError
from .columns import NO_OTHERS, column_of
from .stored_columns import READERS, StoredColumns
from .writers import WRITERS


@dataclass(frozen=True, eq=False)
class Records:
    """Records of N crops.

    Attributes:
        path: of the file.
        names: of the samples.
        files: RGB images, None where there is none or it is not known.
        labels: of the attributes; None in a file without attributes.
        probabilities: float32 (N, A), NaN where they are not known.
        assigned: bool (N, A), as decided when the file was written.
        embeddings: float32 (N, dim); None in a file without, or where they were not read.
        fingerprint: of their feature space; "" where there is none.
    """

    path: Path
    names: tuple[str, ...]
    files: tuple[Path | None, ...]
    labels: tuple[str, ...] | None
    probabilities: np.ndarray
    assigned: npt.NDArray[np.bool_]
    embeddings: np.ndarray | None
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Samples whose attributes are known. Returns bool (N,)."""
        return ~np.isnan(self.probabilities).all(axis=1) if self.labels else np.zeros(len(self), bool)


def read_records(path: str | os.PathLike[str], embeddings: bool = True) -> Records:
    """Read a file of records: .parquet, .csv, .jsonl or .npz.

    Args:
        path: the file.
        embeddings: read them too.

    Raises:
        InputError: missing, of another format, damaged, or without the columns of records.
        SetupError: pyarrow is not installed, and the file is Parquet.
    """
    path = Path(path)
    suffix = path.suffix or ".npz"
    if suffix not in READERS:
        raise InputError(
            f"Records are read from {', '.join(WRITERS)}, not {shown_text(suffix)}: {shown_text(path)}. Give a file of "
            "mambapro extract --attributes or mambapro attributes."
        )
    with open_regular(path, "file of records") as file:
        try:
            return _records(path, READERS[suffix](file, path, embeddings))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"The records {shown_text(path)} cannot be used: {shown_text(error).rstrip('.')}."
            ) from error


def _records(path: Path, columns: StoredColumns) -> Records:
    """Check the columns. Raises ValueError."""
    count, labels = len(columns.names), columns.labels
    if labels is not None and len(set(labels)) < len(labels):
        raise ValueError("it has two columns of one label")
    _check_probabilities(columns.probabilities, labels or (), columns.names)
    prints = set(columns.fingerprints)
    if len(prints) > 1:
        raise ValueError(f"its embeddings are of {len(prints)} feature spaces")
    embeddings = columns.embeddings
    if embeddings is not None and not np.isfinite(embeddings).all():
        raise ValueError("its embeddings hold NaN or infinity")
    shapes = {len(columns.files), len(columns.probabilities), len(columns.assigned)}
    if shapes | {count if embeddings is None else len(embeddings)} != {count}:
        raise ValueError("its columns have different lengths")
    return Records(
        path,
        tuple(map(str, columns.names)),
        tuple(_located(path, file) for file in columns.files),
        labels,
        columns.probabilities,
        _assigned(columns.assigned, labels or (), count),
        embeddings,
        next(iter(prints), ""),
    )


def _check_probabilities(probabilities: np.ndarray, labels: Sequence[str], names: Sequence[str]) -> None:
    """Check the ranges, and that those of a sample are all known or all unknown. Raises ValueError."""
    unknown = np.isnan(probabilities)
    wrong = ~unknown & ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"its column {shown_text(column_of(labels[column]), 60)!r} is not from 0 to 1, but "
            f"{probabilities[row, column]:g} in row {row}, {shown_text(names[row], 60)!r}. {NO_OTHERS}"
        )
    partial = unknown & ~unknown.all(axis=1, keepdims=True)
    if partial.any():
        row, column = np.argwhere(partial)[0].tolist()
        raise ValueError(
            f"row {row}, {shown_text(names[row], 60)!r}, lacks the probability of "
            f"{shown_text(labels[column], 60)!r}, and has others; those of a crop are all known, or none is"
        )


def _located(path: Path, file: str | None) -> Path | None:
    return Path(os.path.realpath(path)).parent / file if file else None


def _assigned(
    assigned: Sequence[Sequence[str] | None] | np.ndarray, labels: tuple[str, ...], count: int
) -> npt.NDArray[np.bool_]:
    if isinstance(assigned, np.ndarray):
        if assigned.shape != (count, len(labels)) or assigned.dtype != bool:
            raise ValueError("its array assigned is not of truth values for each sample and label")
        return assigned
    numbers = {label: number for number, label in enumerate(labels)}
    decided = np.zeros((count, len(labels)), bool)
    for row, names in enumerate(assigned):
        for name in names or ():
            if name not in numbers:
                raise ValueError(f"row {row} has the attribute {shown_text(name, 60)!r}, which has no column")
            decided[row, numbers[name]] = True
    return decided
