"""Marks of a drawn folder: what was drawn, in words and as JSON, so that only such folders are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.files.atomic import json_text
from ..common.formats.json_files import read_json
from ..common.records import Report
from ..errors import InputError
from ..runtime.data.readers.benchmarks import benchmark_info
from .attributes.annotation_files import FILES
from .attributes.attribute_sets import KINDS, MOST_IMAGES
from .attributes.image_names import image_names
from .layout import names_of
from .shot_list import check_numbers, placed_shots

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


def is_drawn(folder: Path) -> bool:
    """Return True if a folder holds only a drawn set: nothing else is ever replaced."""
    try:
        ours = {
            Path(_MARKER),
            Path(_README),
            *_files(read_json(folder / _MARKER, kind=InputError, limit=_LARGEST_MARKER)),
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return all(path.is_dir() or path.relative_to(folder) in ours for path in folder.rglob("*"))


def _files(facts: dict[str, Any]) -> Iterator[Path]:
    """Yield the files of a drawn set below its folder."""
    name = facts["dataset"]
    if name in KINDS:
        count = int(facts["images"])
        if count > MOST_IMAGES:
            raise ValueError("more images than are drawn")
        yield from map(Path, FILES[name])
        images, names = image_names(name, count)
        yield from (Path(images, image) for image in names)
        return
    info = benchmark_info(name)
    identities, views = (int(facts["train_identities"]), int(facts["test_identities"])), int(facts["views"])
    check_numbers(identities, views)
    for shot, folders in placed_shots(info, identities, views):
        yield from (folder / part for folder in folders for part in names_of(name, shot))
