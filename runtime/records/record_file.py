"""Reading of files of records, in every format that is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ...common.files.open_files import open_regular
from ...common.foreign_text import shown_text
from ...common.formats.npz_files import npz_arrays
from ...errors import InputError
from .columns import ATTRIBUTES, CAMERA, EMBEDDING, FILE, FINGERPRINT, NAME, label_of
from .parquet_files import read_parquet
from .text_files import TextRows, csv_rows, json_rows
from .writers import WRITERS

#: Bytes of the arrays of an .npz file, at most.
_LARGEST = 16 * 2**30


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
    if suffix not in _READERS:
        raise InputError(
            f"Records are read from {', '.join(WRITERS)}, not {shown_text(suffix)}: {shown_text(path)}. Give a file of "
            "mambapro extract --attributes or mambapro attributes."
        )
    with open_regular(path, "file of records") as file:
        columns = _READERS[suffix](file, path, embeddings)
    try:
        return _records(path, columns)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The records {shown_text(path)} cannot be used: {shown_text(error)}.") from error


@dataclass(frozen=True, eq=False)
class _Columns:
    """Columns as they stand in a file."""

    names: Sequence[str]
    files: Sequence[str | None]
    labels: tuple[str, ...] | None
    probabilities: np.ndarray
    assigned: Sequence[Sequence[str] | None] | np.ndarray
    embeddings: np.ndarray | None
    fingerprints: Iterable[str]


def _records(path: Path, columns: _Columns) -> Records:
    """Check the columns. Raises ValueError."""
    count, labels = len(columns.names), columns.labels
    known = columns.probabilities[~np.isnan(columns.probabilities)]
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError("its probabilities are not from 0 to 1")
    if labels is not None and len(set(labels)) < len(labels):
        raise ValueError("it has two columns of one label")
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


def _npz(file: BinaryIO, path: Path, embeddings: bool) -> _Columns:
    arrays = npz_arrays(file, path, "file of records", InputError, content=_LARGEST)
    if "names" not in arrays or arrays["names"].ndim != 1 or arrays["names"].dtype.kind != "U":
        raise InputError(f"{shown_text(path)} holds no records: its array of names is missing.")
    count = len(arrays["names"])
    labels = tuple(map(str, arrays["labels"].reshape(-1))) if "labels" in arrays else None
    empty = np.zeros((count, 0))
    probabilities = np.asarray(arrays.get("probabilities", empty), np.float32)
    vectors = np.asarray(arrays["embeddings"], np.float32) if embeddings and "embeddings" in arrays else None
    if probabilities.shape != (len(probabilities), len(labels or ())) or (vectors is not None and vectors.ndim != 2):
        raise InputError(f"{shown_text(path)} holds no records: its arrays have other shapes.")
    return _Columns(
        arrays["names"].tolist(),
        [file or None for file in map(str, arrays.get("files", np.full(count, "")).reshape(-1))],
        labels,
        probabilities,
        arrays.get("assigned", empty.astype(bool)),
        vectors,
        [str(arrays["fingerprint"])] if "fingerprint" in arrays else [],
    )


def _parquet(file: BinaryIO, path: Path, embeddings: bool) -> _Columns:
    columns = read_parquet(file, path, (CAMERA,) if embeddings else (CAMERA, EMBEDDING))
    _require(columns, path)
    numbers = {label: columns[name] for name in columns if (label := label_of(name)) is not None}
    # columns that others added are of other types
    labels = {label: array for label, array in numbers.items() if str(array.type) in ("float", "double")}
    has = ATTRIBUTES in columns
    count = len(columns[NAME])
    values = [array.to_numpy(zero_copy_only=False).astype(np.float32) for array in labels.values()] if has else []
    vectors = None
    if EMBEDDING in columns:
        array = columns[EMBEDDING]
        flat = np.asarray(array.flatten(), np.float32)
        if not count or len(flat) % count or array.null_count:
            raise InputError(
                f"The records {shown_text(path)} cannot be used: some have no embedding, or another length."
            )
        vectors = flat.reshape(count, -1)
    return _Columns(
        columns[NAME].to_pylist(),
        columns[FILE].to_pylist() if FILE in columns else [None] * count,
        tuple(labels) if has else None,
        np.stack(values, axis=1) if values else np.zeros((count, 0), np.float32),
        columns[ATTRIBUTES].to_pylist() if has else [None] * count,
        vectors,
        columns[FINGERPRINT].unique().to_pylist() if FINGERPRINT in columns else [],
    )


def _require(columns: dict[str, Any], path: Path) -> None:
    if NAME not in columns or str(columns[NAME].type) not in ("string", "large_string"):
        raise InputError(f"{shown_text(path)} holds no records: its column {NAME!r} is missing.")


def _text(rows: Callable[[BinaryIO, Path, bool], TextRows]) -> Callable[[BinaryIO, Path, bool], _Columns]:
    def read(file: BinaryIO, path: Path, embeddings: bool) -> _Columns:
        found = rows(file, path, embeddings)
        count = len(found.names)
        return _Columns(
            found.names,
            found.files,
            found.labels,
            np.stack(found.probabilities) if count else np.zeros((0, len(found.labels or ())), np.float32),
            found.attributes,
            np.stack(found.embeddings) if count and found.has_embeddings else None,
            found.fingerprints,
        )

    return read


_READERS: dict[str, Callable[[BinaryIO, Path, bool], _Columns]] = {
    ".npz": _npz,
    ".parquet": _parquet,
    ".csv": _text(csv_rows),
    ".jsonl": _text(json_rows),
}
