"""Search for the annotation file of a published set below the folder that was given."""

from __future__ import annotations

from pathlib import Path

from ....common.foreign_text import escaped
from ....errors import InputError
from ..readers.listing import descend, is_foreign, shown


def annotation_file(root: Path, title: str, *names: str) -> tuple[Path, Path]:
    """Return the folder of a set and its annotation file at the path `names` below it.

    The folder is `root`, one in it that is called like the set, or the only one in it with such a file. The case of
    names does not matter.

    Raises:
        InputError: no such folder or file, or several; the message tells what is expected and what is there.
    """
    expected = f"{title} is expected as {'/'.join(names)} below the data folder"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise InputError(f"The data folder {escaped(root)} {what}. {expected}.")
    for folder in (root, descend(root, title)):
        path = descend(folder, *names)
        if path.exists():
            return folder, path
    entries = sorted(entry for entry in root.iterdir() if not is_foreign(entry.name))
    below = [(entry, path) for entry in entries if entry.is_dir() and (path := descend(entry, *names)).exists()]
    if len(below) == 1:
        return below[0]
    if below:
        raise InputError(
            f"{expected}, which {shown([entry.name for entry, _ in below])} in {escaped(root)} all have. Name one of "
            "these folders."
        )
    there = [entry.name + "/" * entry.is_dir() for entry in entries]
    raise InputError(f"{expected}, but {escaped(root)} {f'holds {shown(there)}' if there else 'is empty'}.")
