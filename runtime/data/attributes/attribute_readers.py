"""Registry of the sets of labeled images by name, and their reading from the published or the toolkit's format."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import escaped, shown_text
from ....errors import InputError
from ..readers.listing import shown
from ..sample import Benchmark
from . import msp60k, pa100k, peta, rap, rap2, wider, zero_shot
from .attribute_file import FILE_NAME, read_attribute_file
from .attribute_set import PARTITIONS, TEST, TRAIN, VALIDATION, AttributeSet, Conversion
from .image_listing import require_images

log = logging.getLogger("mambapro")

#: Name of any set in the toolkit's format.
ANY = "attributes"


@dataclass(frozen=True)
class PublishedSet:
    """A published set: its title, the reader of its annotation, and its number of partitions to choose from."""

    title: str
    read: Callable[[Path, int], AttributeSet]
    partitions: int = 1


PUBLISHED: dict[str, PublishedSet] = {
    "pa100k": PublishedSet("PA100K", pa100k.read_pa100k),
    "peta": PublishedSet("PETA", peta.read_peta, peta.PARTITION_COUNT),
    "rapv1": PublishedSet("RAPv1", rap.read_rapv1, rap.PARTITION_COUNT),
    "rapv2": PublishedSet("RAPv2", rap2.read_rapv2, rap2.PARTITION_COUNT),
    "wider": PublishedSet("WIDER", wider.read_wider),
    "peta-zs": PublishedSet("PETA-ZS", zero_shot.read_peta_zs, zero_shot.PARTITION_COUNT),
    "rap-zs": PublishedSet("RAP-ZS", zero_shot.read_rap_zs, zero_shot.PARTITION_COUNT),
    "msp60k": PublishedSet("MSP60K", msp60k.read_msp60k, msp60k.PARTITION_COUNT),
}


def read_attributes(
    name: str, root: str | os.PathLike[str], *, partition: int = 0, trainval: bool = False
) -> AttributeSet:
    """Read the annotation of a set, without looking at its images.

    Args:
        name: of a published set, or "attributes".
        root: folder of the set; for "attributes" an attributes.json or its folder. A folder of a published set that
            holds an attributes.json of that name is read by it, as `mambapro convert` leaves it for devices; a warning
            names its differences from the published set.
        partition: number of the partition, from 0, where the publishers offer several.
        trainval: train on the validation part too, as published figures do.

    Raises:
        InputError: unknown name, an annotation that is missing, damaged, of another set, or inconsistent.
        SetupError: the package that reads the format is missing.
    """
    images = _read(name, Path(root), partition)
    return with_trainval(images) if trainval else images


def read_published(name: str, root: Path, partition: int = 0) -> AttributeSet:
    """Read the published annotation of a set alone; errors as `read_attributes`."""
    if name not in PUBLISHED:
        raise InputError(f"There is no attribute set {name!r}. Known: {', '.join((*PUBLISHED, ANY))}.")
    published = PUBLISHED[name]
    _require_partition(partition, published.partitions, published.title)
    return replace(published.read(root, partition), conversion=Conversion(partition))


def with_trainval(images: AttributeSet) -> AttributeSet:
    """Return a set whose training part is that of training and validation."""
    both = np.concatenate([images.partitions[TRAIN], images.partitions[VALIDATION]])
    partitions = {TRAIN: both, VALIDATION: both[:0], TEST: images.partitions[TEST]}
    return replace(images, partitions=partitions, conversion=replace(images.conversion, trainval=True))


def read_attribute_benchmark(name: str, root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read a set as a benchmark, and require its images; `test_only` leaves out the training part.

    Raises:
        InputError, SetupError: as `read_attributes`; images are missing.
    """
    images = read_attributes(name, root)
    parts = (TEST,) if test_only else PARTITIONS
    warn_of_missing_positives(images, parts)
    rows = np.concatenate([images.partitions[part] for part in parts])
    require_images(
        images.root,
        [images.images[row] for row in rows.tolist()],
        shown_text(images.source),
        "Copy them there, or leave them out of the set: mambapro convert --skip-missing.",
    )
    return images.benchmark(test_only)


def _read(name: str, root: Path, partition: int) -> AttributeSet:
    own = root / FILE_NAME if root.is_dir() else root
    if name == ANY:
        _require_partition(partition, 1, "An attribute file")
        if root.is_dir() and not own.exists():
            raise InputError(
                f"{escaped(root)} holds no {FILE_NAME}. Write one with mambapro convert, or name the set that the "
                f"folder holds: {', '.join(PUBLISHED)}."
            )
        return read_attribute_file(own)
    if name in PUBLISHED and partition == 0 and own.is_file() and own.suffix == ".json":
        images = read_attribute_file(own)
        if images.name == name:
            log.info("%s is read from %s", PUBLISHED[name].title, shown_text(images.source))
            _warn_of_differences(images, PUBLISHED[name].title)
            return images
        if not root.is_dir():
            raise InputError(f"{escaped(own)} is the set {shown_text(images.name, 60)}, not {name}.")
    return read_published(name, root, partition)


def _warn_of_differences(images: AttributeSet, title: str) -> None:
    if images.conversion != Conversion():
        log.warning(
            "%s is read from %s, which mambapro convert wrote with other choices than the default: %s. Its figures do "
            "not compare with those of the published split; convert again for that one.",
            title,
            shown_text(images.source),
            images.conversion,
        )


def _require_partition(number: int, count: int, title: str) -> None:
    if not 0 <= number < count:
        raise InputError(f"{title} has {count} partition(s), from 0 to {count - 1}; {number} is none of them.")


def warn_of_missing_positives(images: AttributeSet, parts: Sequence[str] = PARTITIONS) -> dict[str, list[str]]:
    """Return the attributes that no image of a part has, for which mA is not defined; they are logged too."""
    lacking = {part: _without_positives(images, images.partitions[part]) for part in parts}
    for part, names in lacking.items():
        if names:
            log.warning(
                "%s: no image of %s has %s; mA is not defined for what no image has",
                shown_text(images.source),
                part,
                shown(names),
            )
    return {part: names for part, names in lacking.items() if names}


def _without_positives(images: AttributeSet, rows: npt.NDArray[np.int64]) -> list[str]:
    if not len(rows):
        return []
    positives = (images.labels[rows] == 1).any(axis=0)
    return [name for name, has in zip(images.attributes, positives.tolist(), strict=True) if not has]
