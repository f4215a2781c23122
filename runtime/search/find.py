"""Search in a file of records: crops whose attributes fulfill a condition, and crops that look like another one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...common.foreign_text import shown_text
from ...common.records import Report
from ...common.tables import text_table
from ...errors import InputError
from ..extractor import Extractor
from ..records.record_file import Records, read_records
from .condition import Condition, parse_condition

if TYPE_CHECKING:
    from ..records.attribute_page import AttributePage

#: Largest departure of the squared length of an embedding from 1.
_LENGTH = 1e-2
#: Most digits of a record's number.
_DIGITS = 18
#: Most letters of a name in a table.
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Hit:
    """Record that fits: `row` counts from 0; `cosine` is None without a query, `certainty` without a condition."""

    row: int
    name: str
    file: str | None
    cosine: float | None
    certainty: float | None
    attributes: dict[str, float] | None


@dataclass(frozen=True)
class FindReport(Report):
    """Result of a search; `known` counts records with attributes, `matching` those that fit; `hits` are the first."""

    records: int
    known: int
    matching: int
    where: str | None
    like: str | None
    hits: tuple[Hit, ...]
    page: str | None = None

    def __str__(self) -> str:
        unknown = self.records - self.known
        told = f"; {unknown} without attributes fit no condition" if self.where is not None and unknown else ""
        page = "" if self.page is None else f"\nDrawn in {shown_text(self.page)}."
        first = f"{self.matching} of {self.records} records fit{told}."
        if len(self.hits) < self.matching:
            first += f" The first {len(self.hits)}:" if len(self.hits) > 1 else " The first:"
        if not self.hits:
            return first + page
        kinds = (("cosine", self.like), ("certainty", self.where))
        names = [name for name, asked in kinds if asked is not None]
        rows = [["row", *names, "name", "attributes"]]
        for hit in self.hits:
            values = [f"{getattr(hit, name):.3f}" for name in names]
            attributes = "not known" if hit.attributes is None else ", ".join(map(shown_text, hit.attributes))
            rows.append([str(hit.row), *values, shown_text(hit.name, _LONGEST_NAME), attributes])
        return f"{first}\n{text_table(rows, '>' * (1 + len(names)) + '<')}{page}"


@dataclass(frozen=True)
class Query:
    """Crop that others are compared with: its embedding, length 1, and its row where it is a record."""

    embedding: np.ndarray
    row: int | None = None


def read_for(path: str | os.PathLike[str], where: str | None, like: str | None) -> Records:
    """Read the records that a search needs; embeddings only if they are compared.

    Raises:
        InputError: neither `where` nor `like`; the file cannot be read, or lacks attributes or embeddings.
        SetupError: pyarrow is not installed, and the file is Parquet.
    """
    if where is None and like is None:
        raise InputError("There is nothing to search for. Give a condition (--where), a crop (--like), or both.")
    records = read_records(path, embeddings=like is not None)
    name = shown_text(records.path)
    if where is not None and records.labels is None:
        raise InputError(f"{name} has no attributes. Write it with mambapro extract --attributes.")
    if like is not None:
        if records.embeddings is None:
            raise InputError(f"{name} has no embeddings, so nothing can be compared. Write it with mambapro extract.")
        lengths = np.einsum("ij,ij->i", records.embeddings, records.embeddings, dtype=np.float64)
        if not np.allclose(lengths, 1, rtol=0, atol=_LENGTH):
            raise InputError(f"The embeddings of {name} are not of length 1. Write it with mambapro extract.")
    return records


def row_of(records: Records, like: str) -> int | None:
    """Return the record that `like` names: its name, or its number from 0; None if it is neither.

    A name counts before a number: images may be called 00001, 00002 and so on.

    Raises:
        InputError: a number beyond the last record, or a name that several records have.
    """
    rows = [row for row, name in enumerate(records.names) if name == like]
    if len(rows) > 1:
        raise InputError(
            f"{len(rows)} records are named {shown_text(like)!r}. Give the number of one, such as {rows[0]}."
        )
    if rows or not (like.isascii() and like.isdecimal()):
        return rows[0] if rows else None
    digits = like.lstrip("0") or "0"
    if len(digits) > _DIGITS or int(digits) >= len(records):
        raise InputError(f"There is no record {digits[:_DIGITS]}: {len(records)} are numbered from 0.")
    return int(digits)


def query_of(records: Records, row: int) -> Query:
    """Return a record as the query."""
    if records.embeddings is None:
        raise InputError(f"{shown_text(records.path)} has no embeddings.")
    return Query(records.embeddings[row], row)


def query_image(records: Records, image: str | os.PathLike[str], extractor: Extractor) -> Query:
    """Embed an RGB image as the query.

    Raises:
        InputError: an unusable image, or a model of another feature space than that of the records.
    """
    if extractor.fingerprint != records.fingerprint:
        stored = records.fingerprint[:16] or "not known"
        raise InputError(
            f"The embeddings of {shown_text(records.path)} are of the feature space {shown_text(stored)}, those of the "
            f"bundle of {extractor.fingerprint[:16]}: they cannot be compared. Give the bundle that wrote the file."
        )
    return Query(extractor(image)[0])


def find_records(
    records: Records, where: str | None, query: Query | None, top: int, like: str | None = None
) -> FindReport:
    """Return the records that fulfill a condition, ranked by likeness to a query, else by how certain they are.

    Args:
        records: as of `read_for`.
        where: condition; None = all records. Records whose attributes are not known fulfill none.
        query: the record that is the query is no hit; None = no ranking by likeness.
        top: hits at most.
        like: name of the query, for the report.

    Raises:
        InputError: a condition that cannot be read; embeddings of another length.
    """
    condition = None if where is None else parse_condition(where, records.labels or ())
    fits = np.ones(len(records), bool)
    certainty = cosine = None
    if condition is not None:
        fits, certainty = _fulfilled(records, condition)
    if query is not None:
        if records.embeddings is None or records.embeddings.shape[1:] != query.embedding.shape:
            raise InputError(f"The embeddings of {shown_text(records.path)} are not of the query's length.")
        cosine = records.embeddings @ query.embedding
        if query.row is not None:
            fits[query.row] = False
    rows = np.flatnonzero(fits)
    ranking = cosine if cosine is not None else certainty
    if ranking is not None:
        rows = rows[np.argsort(-ranking[rows], kind="stable")]
    hits = tuple(_hit(records, int(row), cosine, certainty) for row in rows[:top])
    return FindReport(len(records), int(records.present.sum()), len(rows), where, like, hits)


def _fulfilled(records: Records, condition: Condition) -> tuple[np.ndarray, np.ndarray]:
    fits = np.zeros(len(records), bool)
    certainty = np.zeros(len(records), np.float32)
    known = records.present
    fits[known] = condition.matches(records.probabilities[known], records.assigned[known])
    certainty[known] = condition.certainty(records.probabilities[known])
    return fits, certainty


def _hit(records: Records, row: int, cosine: np.ndarray | None, certainty: np.ndarray | None) -> Hit:
    file = records.files[row]
    return Hit(
        row,
        records.names[row],
        None if file is None else str(file),
        None if cosine is None else float(cosine[row]),
        None if certainty is None else float(certainty[row]),
        attributes_of(records, row),
    )


def attributes_of(records: Records, row: int) -> dict[str, float] | None:
    """Return the assigned attributes of a record with their probabilities; None where they are not known."""
    if not records.present[row]:
        return None
    labels = records.labels or ()
    return {labels[i]: float(records.probabilities[row, i]) for i in np.flatnonzero(records.assigned[row])}


def draw_hits(
    page: AttributePage, report: FindReport, records: Records, query: Query | None, image: Path | None
) -> None:
    """Add the query and the hits of a search to a page."""
    from ..records.attribute_page import MOST_CROPS, Card

    if query is not None:
        file = image if query.row is None else records.files[query.row]
        known = None if query.row is None else attributes_of(records, query.row)
        page.query = Card("query", file, None if known is None else tuple(known.items()))
    page.count = report.matching
    for hit in report.hits[:MOST_CROPS]:
        facts = [("cosine", hit.cosine), ("certainty", hit.certainty)]
        attributes = None if hit.attributes is None else tuple(hit.attributes.items())
        told = tuple((name, f"{value:.3f}") for name, value in facts if value is not None)
        page.cards.append(Card(hit.name, None if hit.file is None else Path(hit.file), attributes, told))
