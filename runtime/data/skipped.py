"""Samples skipped by an extraction or evaluation, as a JSON file next to the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...common.files.atomic import Write, json_text
from ...common.foreign_text import shown_text
from .readers.listing import shown

SCHEMA = "mambapro.skipped/1"
#: Suffixes of results that the name of their list leaves out.
_RESULTS = (".npz", ".parquet", ".csv", ".jsonl")


@dataclass(frozen=True)
class Skipped:
    """Skipped sample: its name, the faulty sensor and file, and the reason."""

    name: str
    sensor: str
    file: str
    reason: str


def list_beside(out: Path) -> Path:
    """Return the path of the list of a result: features.skipped.json for features.npz."""
    stem = out.stem if out.suffix in _RESULTS else out.name
    return out.with_name(f"{stem}.skipped.json")


def writer_of_skipped(samples: int, skipped: Sequence[Skipped]) -> Write:
    """Return a writer of the list; an empty list is also written, so that completeness is visible."""
    content = {"schema": SCHEMA, "samples": samples, "skipped": [asdict(one) for one in skipped]}
    return lambda path: path.write_text(json_text(content), encoding="utf-8")


def told_skipped(samples: int, skipped: Sequence[Skipped]) -> str:
    """Format the number and names of skipped samples for a message."""
    names = shown([shown_text(one.name) for one in skipped])
    return f"{len(skipped)} of {samples} samples skipped{': ' if skipped else ''}{names}"
