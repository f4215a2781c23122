"""Columns of a file of records, and the rows that are written at a time.

| column | content |
|---|---|
| name | of the sample |
| file | RGB image, relative to the folder of the file of records; null where there is none |
| camera | -1 = unknown; in files with embeddings |
| attributes | names of the assigned ones; null where they are not known |
| a column for each label | probability; null where it is not known |
| fingerprint | of the embedding's feature space |
| embedding | of length 1; in CSV a column for each number, embedding_0 and so on |
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..assigned_attributes import Attributes
from ..pipeline import Pipeline

NAME, FILE, CAMERA, ATTRIBUTES, FINGERPRINT, EMBEDDING = (
    "name",
    "file",
    "camera",
    "attributes",
    "fingerprint",
    "embedding",
)
#: Prefix of the column of a label whose name is that of another column.
PREFIX = "label:"
#: Advice where a column is no label's.
NO_OTHERS = "A file with attributes has no other columns than those of records: remove it."
_TAKEN = re.compile(rf"{NAME}|{FILE}|{CAMERA}|{ATTRIBUTES}|{FINGERPRINT}|{EMBEDDING}(_\d+)?|{PREFIX}.*", re.DOTALL)
_VECTOR = re.compile(rf"{EMBEDDING}_\d+")


def column_of(label: str) -> str:
    """Return the column of a label: its name, with PREFIX where that is taken."""
    return f"{PREFIX}{label}" if _TAKEN.fullmatch(label) else label


def label_of(column: str) -> str | None:
    """Return the label of a column, None of other columns."""
    if column.startswith(PREFIX):
        return column[len(PREFIX) :]
    return None if _TAKEN.fullmatch(column) else column


def is_of_embedding(column: str) -> bool:
    """Return True for the columns of an embedding's numbers in CSV."""
    return _VECTOR.fullmatch(column) is not None


@dataclass(frozen=True)
class Head:
    """Content of all rows of a file.

    Attributes:
        labels: of the attributes; None without attributes.
        thresholds: of the labels, NaN where they have none.
        dim: length of an embedding; None without embeddings.
        fingerprint: of the feature space.
        artifacts: files that computed the rows, by the name of the field in .npz and Parquet.
    """

    labels: tuple[str, ...] | None
    thresholds: tuple[float, ...]
    dim: int | None
    fingerprint: str
    artifacts: dict[str, str]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Head:
        """Return the head of the records of a pipeline."""
        extractor, recognizer = pipeline.extractor, pipeline.recognizer
        rule = None if recognizer is None else recognizer.rule
        return cls(
            None if rule is None else rule.labels,
            () if rule is None else rule.thresholds or (math.nan,) * len(rule.labels),
            None if extractor is None else extractor.dim,
            "" if extractor is None else extractor.fingerprint,
            {
                **({} if extractor is None else {"artifact": extractor.artifact.stem}),
                **({} if recognizer is None else {"attribute_artifact": recognizer.artifact.stem}),
                **({} if recognizer is None else {"attribute_fingerprint": recognizer.fingerprint}),
            },
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows.

    Attributes:
        folder: of the file of records.
        names: of the samples.
        files: RGB images relative to `folder`, None where there is none.
        cameras: int64 (N,).
        embeddings: float32 (N, dim), of length 1; None without an extractor.
        attributes: None without a recognizer.
    """

    folder: Path
    names: Sequence[str]
    files: Sequence[str | None]
    cameras: np.ndarray
    embeddings: np.ndarray | None
    attributes: Attributes | None

    def __len__(self) -> int:
        return len(self.names)


def stored_path(image: str | os.PathLike[str] | None, folder: Path) -> str | None:
    """Return the path of an image relative to the folder of the file of records, so that both can be moved."""
    if image is None:
        return None
    return Path(os.path.relpath(os.path.abspath(image), folder)).as_posix()


def utf8(text: str) -> str:
    """Return a text that can be encoded: undecodable bytes of file names are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def float_texts(values: np.ndarray) -> list[str]:
    """Return the shortest texts that read as the same float32 numbers; empty for NaN."""
    return ["" if value != value else str(value) for value in values.astype(np.float32)]
