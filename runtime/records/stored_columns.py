"""Columns of files of records, as they stand in each format, checked for their types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...common.foreign_text import shown_text
from ...common.formats.npz_files import npz_arrays
from ...errors import InputError
from .columns import ATTRIBUTES, CAMERA, EMBEDDING, FILE, FINGERPRINT, NAME, label_of
from .parquet_files import read_parquet, vectors_of
from .text_files import TextRows, csv_rows, json_rows

#: Bytes of the arrays of an .npz file, at most.
_LARGEST = 16 * 2**30
#: Kind and axes of the arrays of an .npz file that are read.
_ARRAYS = {
    "names": ("U", 1),
    "files": ("U", 1),
    "labels": ("U", 1),
    "probabilities": ("f", 2),
    "assigned": ("b", 2),
    "embeddings": ("f", 2),
    "fingerprint": ("U", 0),
}
#: Types of the columns of a Parquet file that are read.
_TYPES = {
    NAME: ("string", "large_string"),
    FILE: ("string", "large_string", "null"),
    ATTRIBUTES: ("list", "large_list"),
    FINGERPRINT: ("string", "large_string"),
}
_FLOATS = ("halffloat", "float", "double")


@dataclass(frozen=True, eq=False)
class StoredColumns:
    """Columns of N records.

    Attributes:
        names: of the samples.
        files: None where there is none.
        labels: None without attributes.
        probabilities: float32 (N, labels), NaN where they are not known.
        assigned: names of the attributes of each sample, None where they are not known; or bool (N, labels).
        embeddings: float32 (N, dim); None without.
        fingerprints: of the feature spaces that occur.
    """

    names: Sequence[str]
    files: Sequence[str | None]
    labels: tuple[str, ...] | None
    probabilities: np.ndarray
    assigned: Sequence[Sequence[str] | None] | np.ndarray
    embeddings: np.ndarray | None
    fingerprints: Iterable[str]


def _npz(file: BinaryIO, path: Path, embeddings: bool) -> StoredColumns:
    arrays = npz_arrays(file, path, "file of records", InputError, content=_LARGEST)
    if "names" not in arrays:
        raise ValueError("it holds no records: its array of names is missing")
    for name, (kind, axes) in _ARRAYS.items():
        if name in arrays and (arrays[name].dtype.kind, arrays[name].ndim) != (kind, axes):
            raise ValueError(f"its array {name} is {arrays[name].dtype} of shape {arrays[name].shape}")
    count = len(arrays["names"])
    labels = tuple(map(str, arrays["labels"])) if "labels" in arrays else None
    empty = np.zeros((count, len(labels or ())))
    probabilities = arrays.get("probabilities", empty).astype(np.float32)
    if probabilities.shape[1] != empty.shape[1]:
        raise ValueError(f"it has {empty.shape[1]} labels, and probabilities of {probabilities.shape[1]}")
    return StoredColumns(
        arrays["names"].tolist(),
        [file or None for file in arrays.get("files", np.full(count, "")).tolist()],
        labels,
        probabilities,
        arrays.get("assigned", empty.astype(bool)),
        arrays["embeddings"].astype(np.float32, copy=False) if embeddings and "embeddings" in arrays else None,
        [str(arrays["fingerprint"])] if "fingerprint" in arrays else [],
    )


def _parquet(file: BinaryIO, path: Path, embeddings: bool) -> StoredColumns:
    columns, written = read_parquet(file, path, (CAMERA,) if embeddings else (CAMERA, EMBEDDING))
    _check_types(columns)
    names = columns[NAME].to_pylist()
    has, count = ATTRIBUTES in columns, len(names)
    # columns that others added are of other types, or not among the labels of the writer
    labels = {
        label: array
        for name, array in columns.items()
        if has and (label := label_of(name)) is not None and str(array.type) in _FLOATS
        if written is None or label in written
    }
    values = [array.to_numpy(zero_copy_only=False).astype(np.float32) for array in labels.values()]
    prints = columns[FINGERPRINT].unique().to_pylist() if FINGERPRINT in columns else []
    assigned = columns[ATTRIBUTES].to_pylist() if has else [None] * count
    if None in names or None in prints or any(None in known for known in assigned if known):
        raise ValueError("names, attributes or fingerprints are missing in some rows")
    return StoredColumns(
        names,
        columns[FILE].to_pylist() if FILE in columns else [None] * count,
        tuple(labels) if has else None,
        np.stack(values, axis=1) if values else np.zeros((count, 0), np.float32),
        assigned,
        vectors_of(columns[EMBEDDING]) if EMBEDDING in columns else None,
        prints,
    )


def _check_types(columns: Mapping[str, Any]) -> None:
    if NAME not in columns:
        raise ValueError(f"it holds no records: its column {NAME!r} is missing")
    for name, types in _TYPES.items():
        if name not in columns:
            continue
        outer, _, inner = str(columns[name].type).partition("<")
        if outer not in types or (inner and not inner.removesuffix(">").endswith(("string", "large_string", "null"))):
            raise ValueError(f"its column {name!r} is of {shown_text(columns[name].type, 60)}")


def _text(rows: Callable[[BinaryIO, Path, bool], TextRows]) -> Callable[[BinaryIO, Path, bool], StoredColumns]:
    def read(file: BinaryIO, path: Path, embeddings: bool) -> StoredColumns:
        found = rows(file, path, embeddings)
        count = len(found.names)
        return StoredColumns(
            found.names,
            found.files,
            found.labels,
            np.stack(found.probabilities) if count else np.zeros((0, len(found.labels or ())), np.float32),
            found.attributes,
            np.stack(found.embeddings) if count and found.has_embeddings else None,
            found.fingerprints,
        )

    return read


#: Readers by suffix; their arguments are the open file, its path, and whether embeddings are read.
READERS: dict[str, Callable[[BinaryIO, Path, bool], StoredColumns]] = {
    ".npz": _npz,
    ".parquet": _parquet,
    ".csv": _text(csv_rows),
    ".jsonl": _text(json_rows),
}
