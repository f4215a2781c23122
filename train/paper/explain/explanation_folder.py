"""Folder that `mambapro explain` writes: pictures, a page with all of them, and the numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ....common.files.atomic import json_text, staged_folder
from ....common.files.targets import require_free
from ....common.records import Report
from ....errors import InputError
from .page import Picture

PAGE, NUMBERS = "index.html", "explain.json"


def require_explainable(checkpoints: Sequence[Path], out: Path, overwrite: bool) -> bool:
    """Check the folder and the checkpoints before the work.

    Returns:
        True if the folder may be replaced: with `overwrite`, or where it is empty.

    Raises:
        InputError: the folder holds other things, or a checkpoint does not exist.
    """
    overwrite = overwrite or (out.is_dir() and not any(out.iterdir()))
    require_free(out, overwrite, is_ours)
    if missing := [str(path) for path in checkpoints if not path.is_file()]:
        raise InputError(f"There is no checkpoint {', '.join(missing)}. Check the path.")
    return overwrite


def write_explanation(out: Path, overwrite: bool, pictures: Sequence[Picture], page: str, report: Report) -> None:
    """Write the folder; it appears when it is complete.

    Raises:
        InputError: it may not be replaced.
        SetupError: the disk is full or permission is missing.
    """
    with staged_folder(out, overwrite=overwrite, replaceable=is_ours) as stage:
        for picture in pictures:
            (stage / picture.name).write_bytes(picture.png)
        (stage / PAGE).write_text(page, encoding="utf-8")
        (stage / NUMBERS).write_text(json_text(report.to_json()), encoding="utf-8")


def is_ours(folder: Path) -> bool:
    """Return True if a folder holds only the numbers, the page, and the pictures that the numbers name."""
    try:
        numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        named = {NUMBERS, PAGE, *numbers["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return (folder / PAGE).is_file() and all(path.name in named and path.is_file() for path in folder.iterdir())


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each checkpoint: its file name, with as many folders as needed for uniqueness.

    The training always uses the file names best and last.
    """
    parts = [(*path.absolute().parts[:-1], path.stem) for path in paths]
    least = 2 if any(path.stem in ("best", "last") for path in paths) else 1
    for depth in range(least, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({number})" for number, part in enumerate(parts, 1)]
