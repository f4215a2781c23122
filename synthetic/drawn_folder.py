"""Marks of a drawn folder: what was drawn, in words and as JSON, so that only such folders are replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..common.files.atomic import json_text
from ..common.formats.json_files import read_json
from ..common.records import Report
from ..errors import InputError

_MARKER, _README = "drawn.json", "README.txt"
_LARGEST_MARKER = 1 << 16

_NOTICE = """This is not {title}. Every image in this folder is drawn by a program; no camera took it and no person or
vehicle in it exists. Folders and file names follow {title}, so that its reader reads them.

Drawn by mambapro, drawing version {version}, seed {seed}: {content}
"""


def write_marks(root: Path, title: str, content: str, report: Report, *, seed: int, version: int) -> None:
    """Write both marks into the root of a drawn set; `content` says in words what was drawn."""
    facts = {"drawn": True, **report.to_json()}
    # The path is omitted so that equal seeds give equal files.
    del facts["path"]
    (root / _MARKER).write_text(json_text(facts), encoding="utf-8")
    notice = _NOTICE.format(title=title, version=version, seed=seed, content=content)
    (root / _README).write_text(notice, encoding="utf-8")


def marked_facts(folder: Path) -> dict[str, Any]:
    """Read the facts of a drawn set.

    Raises:
        OSError, ValueError, RecursionError, InputError: none, or not readable.
    """
    facts = read_json(folder / _MARKER, kind=InputError, limit=_LARGEST_MARKER)
    if not isinstance(facts, dict):
        raise ValueError("no object")
    return facts


def holds_only(folder: Path, files: Iterable[Path]) -> bool:
    """Return True if a folder holds no other files than these, below it, and the marks."""
    ours = {Path(_MARKER), Path(_README), *files}
    return all(path.is_dir() or path.relative_to(folder) in ours for path in folder.rglob("*"))
