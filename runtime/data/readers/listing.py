"""What the three benchmark readers share: finding the root, listing and pairing files, saying what is wrong."""

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

#: What the tools of file servers and archives leave in folders.
_FOREIGN = ("@", "#", "$", ".", "__MACOSX", "lost+found", "System Volume Information")


def shown(names: Sequence[str]) -> str:
    """At most ten names in one line, then how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(shown_text(name) for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def find_dataset(
    root: str | os.PathLike[str],
    title: str,
    nesting: Sequence[str],
    splits: Sequence[str],
    needed: Sequence[str] | None = None,
) -> dict[str, Path]:
    """The split folders that are needed, by name.

    `nesting` is the path from the root to them, e.g. ("RGBNT100", "rgbir"). A root that is itself a folder of that path
    is accepted as long as only one reading of it is possible, and so is the first folder inside one of its own name, as
    archives unpack. Upper and lower case of folders' names do not matter. `needed` None is all splits.

    Raises:
        InputError: the root is missing, empty, laid out otherwise, or can be read in two ways.
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
    found = [folder for folder in candidates if any(descend(folder, split).is_dir() for split in splits)]
    if not found:
        raise InputError(
            f"{expected}, but {escaped(root)} {_contents(root)}. Give the folder that holds {nesting[0]}/."
        )
    if len(found) > 1:
        both = " and ".join(str(folder) for folder in found)
        raise InputError(
            f"{escaped(root)} can be read in two ways, since {both} both hold {title} folders. Name one of them."
        )
    folders = {split: descend(found[0], split) for split in needed}
    missing = [split for split, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise InputError(f"{expected}, but {found[0]} has no {shown(missing)}; it {_contents(found[0])}.")
    return folders


def descend(folder: Path, *names: str) -> Path:
    """A path below `folder`; where a name is not there, the only entry that is spelled so but for its case."""
    for name in names:
        exact, alike = folder / name, []
        if not exact.exists():
            with suppress(OSError):
                alike = [entry for entry in folder.iterdir() if entry.name.casefold() == name.casefold()]
        folder = alike[0] if len(alike) == 1 else exact
    return folder


def is_foreign(name: str) -> bool:
    """Whether a folder's name is one of the tools of file servers and archives, such as @eaDir and __MACOSX."""
    return name.startswith(_FOREIGN)


def _contents(folder: Path) -> str:
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if not entry.name.startswith("."))
    return f"holds {shown(names)}" if names else "is empty"


def image_names(folder: Path) -> list[str]:
    """Sorted names of the images in a folder; hidden files and files of other kinds are ignored.

    Raises:
        InputError: there is no such folder, or an image's name that belongs to something else than a file.
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
    """True for visible files with an image suffix, so that Thumbs.db and ._copies are passed over."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def paired_images(folders: Sequence[Path]) -> list[tuple[str, Sources]]:
    """Names present in all three modality folders, sorted, each with its three files.

    Raises:
        InputError: a name that one folder has is missing in another one (ten at most are shown).
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
    """`parse` applied to each name.

    Raises:
        InputError: `parse` returned None for some of them; they are named, with the rule.
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
    """The samples as a tuple.

    Raises:
        InputError: there are none.
    """
    if not samples:
        raise InputError(f"{escaped(folder)} holds no images. Expected {expected}.")
    return tuple(samples)
