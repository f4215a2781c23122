"""Shared parts of the benchmark readers: finding the root, listing and pairing files, error messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ....common.foreign_text import escaped, shown_text
from ....errors import InputError
from ..modalities import MODALITIES
from ..sample import ImageSource

T = TypeVar("T")
Sources = dict[str, ImageSource]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
SHOWN = 10

#: Prefixes of entries that file servers and archive tools create in folders.
_FOREIGN = ("@", "#", "$", ".", "__MACOSX", "lost+found", "System Volume Information")


def shown(names: Sequence[str]) -> str:
    """List at most ten names in one line, then the number of further ones."""
    rest = len(names) - SHOWN
    return ", ".join(shown_text(name) for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def find_dataset(
    root: str | os.PathLike[str],
    title: str,
    nesting: Sequence[str],
    splits: Sequence[str],
    needed: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Return the required split folders by name.

    `nesting` is the path from the root to them, e.g. ("RGBNT100", "rgbir"). A root that is itself a folder of that path
    is accepted if this is unambiguous, and so is the first folder inside one of its own name, as archives unpack. The
    case of folder names does not matter. `needed` None is all splits.

    Raises:
        InputError: the root is missing, empty, laid out otherwise, or ambiguous.
    """
    root = Path(root)
    needed = splits if needed is None else needed
    inner = "/".join(nesting)
    expected = f"{title} is expected as {inner}/{{{','.join(splits)}}} below the data folder"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise InputError(
            f"The data folder {escaped(root)} {what}. {expected}. Give the folder that holds {nesting[0]}/."
        )
    ways = [nesting[skip:] for skip in range(len(nesting) + 1)] + [(nesting[0], *nesting)]
    candidates = [descend(root, *way) for way in ways]
    roots = [folder for folder in candidates if any(descend(folder, split).is_dir() for split in splits)]
    if not roots:
        raise InputError(
            f"{expected}, but {escaped(root)} {_contents(root)}. Give the folder that holds {nesting[0]}/."
        )
    if len(roots) > 1:
        both = " and ".join(str(folder) for folder in roots)
        raise InputError(
            f"{escaped(root)} can be read in two ways, since {both} both hold {title} folders. Name one of them."
        )
    folders = {split: descend(roots[0], split) for split in needed}
    missing = [split for split, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise InputError(f"{expected}, but {roots[0]} has no {shown(missing)}; it {_contents(roots[0])}.")
    return folders


def descend(folder: Path, *names: str) -> Path:
    """Return a path below `folder`; a missing name is replaced by the only entry that differs in case."""
    for name in names:
        exact, alike = folder / name, []
        if not exact.exists():
            with suppress(OSError):
                alike = [entry for entry in folder.iterdir() if entry.name.casefold() == name.casefold()]
        folder = alike[0] if len(alike) == 1 else exact
    return folder


def is_foreign(name: str) -> bool:
    """Return True if a folder belongs to file servers and archive tools, such as @eaDir and __MACOSX."""
    return name.startswith(_FOREIGN)


def _contents(folder: Path) -> str:
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if not entry.name.startswith("."))
    return f"holds {shown(names)}" if names else "is empty"


def image_names(folder: Path) -> list[str]:
    """Return the sorted names of the images in a folder; hidden files and files of other kinds are skipped.

    Raises:
        InputError: there is no such folder, or an image's name that does not belong to a regular file.
    """
    if not folder.is_dir():
        raise InputError(
            f"The folder {escaped(folder)} is missing. A sample needs its image in each of the three modalities."
        )
    with os.scandir(folder) as entries:
        images = sorted((entry.name, entry.is_file()) for entry in entries if is_image_name(entry.name))
    odd = [str(folder / name) for name, regular in images if not regular]
    if odd:
        raise InputError(
            f"{shown(odd)}: has an image's name and is no regular file. Remove it: folders, FIFOs, sockets, devices "
            "and links to nothing are not read."
        )
    return [name for name, _ in images]


def is_image_name(name: str) -> bool:
    """Return True for visible files with an image suffix, which excludes Thumbs.db and ._copies."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def paired_images(folders: Sequence[Path]) -> list[tuple[str, Sources]]:
    """Return the names that all three modality folders hold, sorted, each with its three files.

    Raises:
        InputError: a name is missing in one of the folders (ten at most are shown).
    """
    listings = [image_names(folder) for folder in folders]
    names = sorted(set().union(*listings))
    present = [set(listing) for listing in listings]
    missing = [f"{folders[m] / name} ({MODALITIES[m]})" for name in names for m in range(3) if name not in present[m]]
    if missing:
        raise InputError(
            f"{len(missing)} image file(s) are missing: {shown(missing)}. "
            "Each sample needs a file of the same name for rgb, nir and tir; add them or remove the sample's others."
        )
    by_modality = dict(zip(MODALITIES, folders, strict=True))
    return [(name, {m: ImageSource(folder / name) for m, folder in by_modality.items()}) for name in names]


def parse_names(names: Iterable[str], parse: Callable[[str], T | None], folder: Path, rule: str) -> list[T]:
    """Apply `parse` to each name.

    Raises:
        InputError: `parse` returned None for some names; the message lists them and the rule.
    """
    names = list(names)
    parsed = [parse(name) for name in names]
    bad = [name for name, value in zip(names, parsed, strict=True) if value is None]
    if bad:
        raise InputError(
            f"{len(bad)} file name(s) in {escaped(folder)} cannot be parsed: {shown(bad)}. Expected {rule}."
        )
    return [value for value in parsed if value is not None]


def require_samples(samples: Sequence[T], folder: Path, expected: str) -> tuple[T, ...]:
    """Return the samples as a tuple.

    Raises:
        InputError: there are none.
    """
    if not samples:
        raise InputError(f"{escaped(folder)} holds no images. Expected {expected}.")
    return tuple(samples)
