"""Samples from folders: images of the sensors are paired by their names."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.foreign_text import shown_text
from ...errors import InputError
from .image_files import SUFFIXES
from .modalities import MODALITIES
from .readers.listing import shown

log = logging.getLogger("mambapro")

#: A folder, or a list of files.
ImageFiles = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class PairedFiles:
    """Sorted `names` of the samples, and by modality each sample's file, None if missing."""

    names: tuple[str, ...]
    files: dict[str, tuple[Path | None, ...]]


def paired_files(given: Mapping[str, ImageFiles], unpaired: bool = False, odd: bool = False) -> PairedFiles:
    """Pair the images of several sensors by their names without suffix.

    Names that differ only in their Unicode normalization are equal (file systems and archives change it); a sample has
    the name in the first sensor's folder. Names that differ only in case are different, with a warning.

    Args:
        given: folders or lists of files by modality.
        unpaired: accept sensors without common names: each image is a sample of its own.
        odd: also list entries with an image's name that are no regular files.

    Raises:
        InputError: as `image_files`; a sensor whose names are those of no other one, without `unpaired`.
    """
    by_sensor = {modality: image_files(modality, files, odd) for modality, files in given.items()}
    keyed = {modality: {_key(name): path for name, path in files.items()} for modality, files in by_sensor.items()}
    called: dict[str, str] = {}
    for files in by_sensor.values():
        for name in files:
            called.setdefault(_key(name), name)
    _require_common(keyed, unpaired)
    _tell_case(keyed)
    keys = sorted(called, key=called.__getitem__)
    return PairedFiles(
        tuple(called[key] for key in keys),
        {modality: tuple(files.get(key) for key in keys) for modality, files in keyed.items()},
    )


def image_files(modality: str, given: ImageFiles, odd: bool = False) -> dict[str, Path]:
    """Return the image files of a folder, or of a list, by name without suffix.

    Args:
        modality: of the images, for messages.
        given: a folder, whose hidden and other files are skipped, or files.
        odd: also list folders, FIFOs, dangling links and the like, which are rejected on reading.

    Raises:
        InputError: no such sensor or folder, two images of one name, or, without `odd`, an image's name that belongs
            to something that is no regular file.
    """
    if modality not in MODALITIES:
        raise InputError(f"A sensor must be one of {', '.join(MODALITIES)}, not {shown_text(modality)!r}.")
    alone = isinstance(given, str | os.PathLike)
    paths = _listed(modality, Path(given)) if alone else [Path(path) for path in given]  # type: ignore[arg-type,union-attr]
    if not odd:
        _require_regular(modality, paths)
    by_name: dict[str, Path] = {}
    seen: set[str] = set()
    twice = []
    for path in paths:
        if _key(path.stem) in seen:
            twice.append(shown_text(path.stem))
        seen.add(_key(path.stem))
        by_name[path.stem] = path
    if twice:
        raise InputError(f"{modality} has more than one image of the name {shown(twice)}. Keep one of each.")
    return by_name


def _listed(modality: str, folder: Path) -> list[Path]:
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's raises for impossible names
        there = os.path.lexists(folder)
        raise InputError(
            f"The {modality} folder {shown_text(folder)} {'is not a folder' if there else 'does not exist'}."
        )
    try:
        visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"The {modality} folder {shown_text(folder)} cannot be read: {error.strerror}.") from error
    return sorted(path for path in visible if path.suffix.lower() in SUFFIXES)


def _require_regular(modality: str, paths: Sequence[Path]) -> None:
    odd = [shown_text(path) for path in paths if os.path.lexists(path) and not os.path.isfile(path)]  # noqa: PTH113
    if odd:
        raise InputError(
            f"{modality} holds what has an image's name and is no regular file: {shown(odd)}. Remove it: folders, "
            "FIFOs, sockets, devices and links to nothing are not read."
        )


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _require_common(keyed: Mapping[str, Mapping[str, Path]], unpaired: bool) -> None:
    present = {modality: files for modality, files in keyed.items() if files}
    lonely = [
        modality
        for modality, files in present.items()
        if not any(not files.keys().isdisjoint(others) for m, others in present.items() if m != modality)
    ]
    if len(present) < 2 or not lonely or unpaired:
        return
    examples = ", ".join(f"{modality} {shown_text(min(present[modality]))}" for modality in present)
    raise InputError(
        f"No image of {', '.join(lonely)} has the name of an image of another sensor (for example {examples}), so none "
        "of them would be one sample. Give the images of a sample the same name in every folder, or take each as a "
        "sample of its own (--unpaired; in Python unpaired=True)."
    )


def _tell_case(keyed: Mapping[str, Mapping[str, Path]]) -> None:
    spelled: dict[str, set[str]] = {}
    for files in keyed.values():
        for key in files:
            spelled.setdefault(key.casefold(), set()).add(key)
    variants = [" and ".join(sorted(keys)) for _, keys in sorted(spelled.items()) if len(keys) > 1]
    if variants:
        log.warning(
            "%d names differ only in upper and lower case and are different samples: %s. Rename them where they are "
            "one sample.",
            len(variants),
            shown([shown_text(variant) for variant in variants]),
        )
