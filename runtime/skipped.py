"""Samples that an extraction or evaluation left out, as a JSON file beside the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import InputError
from .data.folders import shown
from .files import json_text, require_free, write_atomically
from .foreign_text import shown_text
from .json_files import read_json

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


def require_free_list(path: Path, out: Path, overwrite: bool) -> None:
    """Look whether the list may be written; one of ours that a killed run left without its result may be replaced.

    Raises:
        InputError: it exists and may not be replaced.
    """
    left_over = path.is_file() and not out.exists() and _is_ours(path)
    require_free(path, overwrite or left_over)


def write_skipped(path: Path, samples: int, skipped: Sequence[Skipped]) -> None:
    """Write the list, an empty one too, so that the result says which samples it lacks."""
    content = {"schema": SCHEMA, "samples": samples, "skipped": [asdict(one) for one in skipped]}
    write_atomically(path, lambda stage: stage.write_text(json_text(content), encoding="utf-8"))


def told_skipped(samples: int, skipped: Sequence[Skipped]) -> str:
    """How many were left out and which, in words."""
    names = shown([shown_text(one.name) for one in skipped])
    return f"{len(skipped)} of {samples} samples skipped{': ' if skipped else ''}{names}"


def _is_ours(path: Path) -> bool:
    try:
        content = read_json(path)
    except (InputError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA
