"""Apache Parquet files of records, by the optional package pyarrow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...common.foreign_text import shown_text
from ...common.formats.json_files import parse_json
from ...common.formats.size_limits import ADVICE, size_limit
from ...errors import InputError, SetupError
from .columns import ATTRIBUTES, CAMERA, EMBEDDING, FILE, FINGERPRINT, NAME, Head, Rows, column_of, utf8

SCHEMA = "mambapro.records/1"
_KEY = b"mambapro"
#: Rows of a row group: readers skip whole groups, and each costs some kilobytes.
_GROUP = 4096
#: Bytes of the columns that are read, at most.
_LARGEST = 16 * 2**30


def require_pyarrow() -> Any:
    """Return pyarrow with its module for Parquet.

    Raises:
        SetupError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SetupError(
            'Parquet needs the package pyarrow, which is not installed: pip install "mambapro[parquet]". Files that '
            "end in .csv, .jsonl and .npz need none."
        ) from error
    return pyarrow


class ParquetTable:
    """Open Parquet file; rows are gathered to groups."""

    def __init__(self, path: Path, head: Head) -> None:
        self.arrow, self.head = require_pyarrow(), head
        self.waiting: list[Any] = []
        self.schema = self._schema()
        self.file = self.arrow.parquet.ParquetWriter(str(path), self.schema, compression="zstd")

    def _schema(self) -> Any:
        arrow, head = self.arrow, self.head
        fields = [(NAME, arrow.string()), (FILE, arrow.string())]
        if head.dim is not None:
            fields.append((CAMERA, arrow.int64()))
        if head.labels is not None:
            fields.append((ATTRIBUTES, arrow.list_(arrow.string())))
            fields += [(utf8(column_of(label)), arrow.float32()) for label in head.labels]
        if head.dim is not None:
            fields += [(FINGERPRINT, arrow.string()), (EMBEDDING, arrow.list_(arrow.float32(), head.dim))]
        thresholds = [None if math.isnan(value) else value for value in head.thresholds]
        about = {"schema": SCHEMA, "labels": head.labels, "thresholds": thresholds, **head.artifacts}
        return arrow.schema(fields, metadata={_KEY: json.dumps(about).encode()})

    def write(self, rows: Rows) -> None:
        """Append rows."""
        arrow, columns = self.arrow, []
        columns += [arrow.array(map(utf8, rows.names), arrow.string())]
        columns += [arrow.array([None if file is None else utf8(file) for file in rows.files], arrow.string())]
        if rows.embeddings is not None:
            columns.append(arrow.array(rows.cameras))
        if rows.attributes is not None:
            known = rows.attributes
            names = [list(map(utf8, known.names(i))) if known.present[i] else None for i in range(len(rows))]
            columns.append(arrow.array(names, arrow.list_(arrow.string())))
            columns += [arrow.array(column, mask=~known.present) for column in known.probabilities.T]
        if rows.embeddings is not None:
            columns.append(arrow.array([self.head.fingerprint] * len(rows), arrow.string()))
            flat = arrow.array(np.ascontiguousarray(rows.embeddings).reshape(-1))
            columns.append(arrow.FixedSizeListArray.from_arrays(flat, self.head.dim))
        self.waiting.append(arrow.record_batch(columns, schema=self.schema))
        if sum(len(batch) for batch in self.waiting) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            self.file.write_table(self.arrow.Table.from_batches(self.waiting, self.schema))
            self.waiting = []

    def close(self) -> None:
        """Complete the file."""
        self._flush()
        self.file.close()

    def abandon(self) -> None:
        """Release the incomplete file."""
        with suppress(Exception):
            self.file.close()


def read_parquet(file: BinaryIO, path: Path, skip: Sequence[str] = ()) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """Read the columns of a Parquet file as arrays of pyarrow, by name, and its labels, None where it names none.

    Args:
        file: open.
        path: for messages.
        skip: names of columns that are not read.

    Raises:
        InputError: no Parquet file, damaged, or too large.
        SetupError: pyarrow is not installed.
    """
    arrow = require_pyarrow()
    # the option is checked first: it is wrong independent of the file
    limit = size_limit(_LARGEST)
    try:
        opened = arrow.parquet.ParquetFile(file)
        schema = opened.schema_arrow
        names = [name for name in schema.names if name not in skip]
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("it has two columns of one name")
        cells = sum(_cells(arrow, schema.field(name).type) for name in names)
        if opened.metadata.num_rows * cells * 4 > limit:
            raise ValueError(f"its {opened.metadata.num_rows:,} rows need more than {limit:,} bytes. {ADVICE}")
        table = opened.read(columns=names, use_threads=False)
        return {name: table.column(name).combine_chunks() for name in names}, _labels(schema.metadata or {})
    except (arrow.ArrowException, ValueError, OSError, KeyError, TypeError) as error:
        why = (shown_text(error) or type(error).__name__).rstrip(".")
        raise InputError(f"The records {shown_text(path)} cannot be read: {why}.") from error


def _labels(metadata: Mapping[bytes, bytes]) -> tuple[str, ...] | None:
    """Return the labels that a file was written with. Raises ValueError."""
    if _KEY not in metadata:
        return None
    about = parse_json(metadata[_KEY])
    labels = about.get("labels") if isinstance(about, dict) else 0
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its metadata has no list of labels")
    return tuple(map(utf8, labels))


def vectors_of(array: Any) -> np.ndarray:
    """Return a column of lists of numbers as one array. Returns float32 (N, length).

    Raises:
        ValueError: no lists of numbers, of different lengths, or missing ones.
    """
    arrow = require_pyarrow()
    kind = array.type
    lists = arrow.types.is_fixed_size_list(kind) or arrow.types.is_list(kind) or arrow.types.is_large_list(kind)
    if not lists or not arrow.types.is_floating(kind.value_type):
        raise ValueError(f"its column {EMBEDDING!r} is of {shown_text(kind, 60)}, not of lists of numbers")
    values = array.flatten()
    length = kind.list_size if arrow.types.is_fixed_size_list(kind) else len(values) // max(len(array), 1)
    if array.null_count or values.null_count or set(array.value_lengths().to_pylist()) - {length}:
        raise ValueError("its embeddings are missing or of different lengths")
    return np.asarray(values, np.float32).reshape(len(array), length)


def _cells(arrow: Any, kind: Any) -> int:
    return int(kind.list_size) if arrow.types.is_fixed_size_list(kind) else 1
