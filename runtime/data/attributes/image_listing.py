"""Comparison of a set's images with the files on disk, by listing folders, not by one request for each image."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ....common.foreign_text import escaped
from ....errors import InputError
from ..readers.listing import shown


def is_folder(path: Path) -> bool:
    """Return True for a folder, False also for a name that none can have."""
    try:
        return path.is_dir()
    except OSError:
        # of too many letters
        return False


def missing_images(root: Path, images: Iterable[str]) -> list[str]:
    """Return the images that are no regular files below `root`, folder by folder.

    Raises:
        InputError: a folder cannot be listed.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_folder[image.rpartition("/")[0]].append(image)
    missing: list[str] = []
    for folder, inside in by_folder.items():
        files = _files(root / folder)
        missing += [image for image in inside if image.rpartition("/")[2] not in files]
    return missing


def require_images(root: Path, images: Iterable[str], what: str, advice: str) -> None:
    """Raise InputError unless all images are files; `what` names the annotation, `advice` is a remedy."""
    images = list(images)
    if not is_folder(root):
        raise InputError(f"The folder of the images of {what}, {escaped(root)}, is not there. {advice}")
    missing = missing_images(root, images)
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(images):,} images of {what} are not in {escaped(root)}: {shown(missing)}. "
            f"{advice}"
        )


def _files(folder: Path) -> set[str]:
    """Return names of the regular files in a folder; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_file()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # a name that cannot be one is a ValueError
        return set()
    except OSError as error:
        raise InputError(f"The folder {escaped(folder)} cannot be listed: {error.strerror}.") from error
    return {name for name, regular in names if regular}
