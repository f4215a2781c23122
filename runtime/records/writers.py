"""Writers of files of records by suffix; all but .npz write row by row, in constant memory."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...common.foreign_text import shown_text
from ...errors import InputError
from .columns import ATTRIBUTES, CAMERA, EMBEDDING, FILE, FINGERPRINT, NAME, Head, Rows, column_of, float_texts, utf8
from .parquet_files import ParquetTable, require_pyarrow


class RecordWriter(ABC):
    """Open file of records."""

    def __init__(self, path: Path, head: Head) -> None:
        self.path, self.head = path, head

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Append rows."""

    @abstractmethod
    def close(self) -> None:
        """Complete the file."""


class NpzWriter(RecordWriter):
    """NumPy arrays, written at the end: names, files, cameras, embeddings, probabilities and so on."""

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path, head)
        self.rows: list[Rows] = []

    def write(self, rows: Rows) -> None:
        """Keep rows."""
        self.rows.append(rows)

    def close(self) -> None:
        """Write all rows."""
        head, rows = self.head, self.rows
        content = {
            "names": np.array([name for part in rows for name in part.names], np.str_),
            "files": np.array([file or "" for part in rows for file in part.files], np.str_),
            **{name: np.array(text) for name, text in head.artifacts.items()},
        }
        if head.dim is not None:
            parts = [part.embeddings for part in rows if part.embeddings is not None]
            content["embeddings"] = np.concatenate([np.empty((0, head.dim), np.float32), *parts])
            content["cameras"] = np.concatenate([np.empty(0, np.int64), *(part.cameras for part in rows)])
            content["fingerprint"] = np.array(head.fingerprint)
        if head.labels is not None:
            known = [part.attributes for part in rows if part.attributes is not None]
            empty = np.empty((0, len(head.labels)))
            content["labels"] = np.array(head.labels)
            content["thresholds"] = np.array(head.thresholds)
            content["probabilities"] = np.concatenate([empty.astype(np.float32), *(p.probabilities for p in known)])
            content["assigned"] = np.concatenate([empty.astype(bool), *(part.assigned for part in known)])
            content["present"] = np.concatenate([np.empty(0, bool), *(part.present for part in known)])
        # an open file, because savez would add .npz to a name that lacks it
        with open(self.path, "wb") as file:
            np.savez(file, **content)  # type: ignore[arg-type]


class CsvWriter(RecordWriter):
    """Comma-separated values with a head; unknown values are empty, attributes are joined by semicolons.

    Lines are joined here: the csv module of older Pythons does not quote a carriage return.
    """

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path, head)
        self.file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by close
        columns = [NAME, FILE]
        columns += [] if head.dim is None else [CAMERA]
        columns += [] if head.labels is None else [ATTRIBUTES, *map(column_of, head.labels)]
        columns += [] if head.dim is None else [FINGERPRINT, *(f"{EMBEDDING}_{i}" for i in range(head.dim))]
        self._write_line(map(quoted, columns))

    def write(self, rows: Rows) -> None:
        """Append rows."""
        for row in range(len(rows)):
            cells = [quoted(rows.names[row]), quoted(rows.files[row] or "")]
            if rows.embeddings is not None:
                cells.append(str(rows.cameras[row]))
            if rows.attributes is not None:
                names = quoted(joined_names(rows.attributes.names(row)))
                cells += [names, *float_texts(rows.attributes.probabilities[row])]
            if rows.embeddings is not None:
                cells += [self.head.fingerprint, *(f"{value:.9g}" for value in rows.embeddings[row].tolist())]
            self._write_line(cells)

    def _write_line(self, cells: Iterable[str]) -> None:
        self.file.write(",".join(cells) + "\n")

    def close(self) -> None:
        """Complete the file."""
        self.file.close()


class JsonLinesWriter(RecordWriter):
    """A JSON object in each line, with the names of columns as keys; unknown values are null."""

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path, head)
        self.file = open(path, "w", encoding="ascii")  # noqa: SIM115 - closed by close
        self.columns = [json.dumps(column_of(label)) for label in head.labels or ()]

    def write(self, rows: Rows) -> None:
        """Append rows."""
        for row in range(len(rows)):
            fields = [f'"{NAME}": {json.dumps(rows.names[row])}', f'"{FILE}": {json.dumps(rows.files[row])}']
            if rows.embeddings is not None:
                fields.append(f'"{CAMERA}": {rows.cameras[row]}')
            if rows.attributes is not None:
                known = rows.attributes.names(row) if rows.attributes.present[row] else None
                fields.append(f'"{ATTRIBUTES}": {json.dumps(known)}')
                numbers = float_texts(rows.attributes.probabilities[row])
                fields += [f"{name}: {text or 'null'}" for name, text in zip(self.columns, numbers, strict=True)]
            if rows.embeddings is not None:
                numbers = [f"{value:.9g}" for value in rows.embeddings[row].tolist()]
                fields += [f'"{FINGERPRINT}": "{self.head.fingerprint}"', f'"{EMBEDDING}": [{", ".join(numbers)}]']
            self.file.write(f"{{{', '.join(fields)}}}\n")

    def close(self) -> None:
        """Complete the file."""
        self.file.close()


class ParquetWriter(RecordWriter):
    """Apache Parquet, by the package pyarrow."""

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path, head)
        self.table = ParquetTable(path, head)

    def write(self, rows: Rows) -> None:
        """Append rows."""
        self.table.write(rows)

    def close(self) -> None:
        """Complete the file."""
        self.table.close()


#: Writers by suffix; a name without suffix is .npz.
WRITERS: dict[str, type[RecordWriter]] = {
    ".npz": NpzWriter,
    ".parquet": ParquetWriter,
    ".csv": CsvWriter,
    ".jsonl": JsonLinesWriter,
}


def require_format(out: Path, suffixes: tuple[str, ...] = tuple(WRITERS)) -> None:
    """Check that records can be written to `out`, before any work.

    Raises:
        InputError: another suffix.
        SetupError: pyarrow is missing, and the suffix is .parquet.
    """
    if (out.suffix or ".npz") not in suffixes:
        listed = ", ".join(suffixes)
        raise InputError(
            f"Records are written as {listed}, not {shown_text(out.suffix)}: {shown_text(out)}. Rename it."
        )
    if out.suffix == ".parquet":
        require_pyarrow()


@contextmanager
def record_writer(path: Path, head: Head) -> Iterator[RecordWriter]:
    """Yield a writer for the suffix of `path`; at the end of the block the file is complete."""
    writer = WRITERS[path.suffix or ".npz"](path, head)
    try:
        yield writer
    except BaseException:
        # the reason counts, not that an incomplete file cannot be completed
        abandon(writer)
        raise
    writer.close()


def abandon(writer: RecordWriter) -> None:
    """Release an incomplete file, which is removed afterwards."""
    file = getattr(writer, "file", None)
    if isinstance(file, io.IOBase):
        file.close()
    elif isinstance(writer, ParquetWriter):
        writer.table.abandon()


def joined_names(names: tuple[str, ...]) -> str:
    """Join names by semicolons; those that hold one are quoted, as in CSV."""
    return ";".join(quoted(name, ";") for name in names)


def quoted(text: str, delimiter: str = ",") -> str:
    """Return a text as a cell of CSV: in quotes where it holds a quote, the delimiter or an end of a line."""
    text = utf8(text)
    needed = any(sign in text for sign in (delimiter, '"', "\r", "\n"))
    return '"' + text.replace('"', '""') + '"' if needed else text
