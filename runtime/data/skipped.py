"""Samples that an extraction or evaluation left out, as a JSON file beside the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...common.files.atomic import Write, json_text
from ...common.foreign_text import shown_text
from .readers.listing import shown

SCHEMA = "mambapro.skipped/1"


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out: its name, the sensor and file at fault, and why."""

    name: str
    sensor: str
    file: str
    reason: str


def list_beside(out: Path) -> Path:
    """The list that belongs to a result: features.skipped.json beside features.npz."""
    return out.with_name(f"{out.name.removesuffix('.npz')}.skipped.json")


def writer_of_skipped(samples: int, skipped: Sequence[Skipped]) -> Write:
    """Writes the list, an empty one too, so that the result says which samples it lacks."""
    content = {"schema": SCHEMA, "samples": samples, "skipped": [asdict(one) for one in skipped]}
    return lambda path: path.write_text(json_text(content), encoding="utf-8")


def told_skipped(samples: int, skipped: Sequence[Skipped]) -> str:
    """How many were left out and which, in words."""
    names = shown([shown_text(one.name) for one in skipped])
    return f"{len(skipped)} of {samples} samples skipped{': ' if skipped else ''}{names}"
