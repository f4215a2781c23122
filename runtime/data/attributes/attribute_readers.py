"""Registry of the sets of labeled images by name, and their reading from the published or the toolkit's format."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ....common.foreign_text import escaped, shown_text
from ....errors import InputError
from ..readers.listing import shown
from ..sample import Benchmark
from . import msp60k, pa100k, peta, rap, rap2, wider, zero_shot
from .attribute_file import FILE_NAME, read_attribute_file
from .attribute_set import PARTITIONS, TEST, TRAIN, VALIDATION, AttributeSet
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
            holds an attributes.json of that name is read by it, as `mambapro convert` leaves it for devices.
        partition: number of the partition, from 0, where the publishers offer several.
        trainval: train on the validation part too, as published figures do.

    Raises:
        InputError: unknown name, an annotation that is missing, damaged, of another set, or inconsistent.
        SetupError: the package that reads the format is missing.
    """
    images = _read(name, Path(root), partition)
    if trainval:
        both = np.concatenate([images.partitions[TRAIN], images.partitions[VALIDATION]])
        images = replace(images, partitions={TRAIN: both, VALIDATION: both[:0], TEST: images.partitions[TEST]})
    _warn_of_missing_positives(images)
    return images


def read_attribute_benchmark(name: str, root: str | os.PathLike[str], test_only: bool = False) -> Benchmark:
    """Read a set as a benchmark, and require its images; `test_only` leaves out the training part.

    Raises:
        InputError, SetupError: as `read_attributes`; images are missing.
    """
    images = read_attributes(name, root)
    rows = np.concatenate([images.partitions[part] for part in ((TEST,) if test_only else PARTITIONS)])
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
    if name not in PUBLISHED:
        raise InputError(f"There is no attribute set {name!r}. Known: {', '.join((*PUBLISHED, ANY))}.")
    published = PUBLISHED[name]
    _require_partition(partition, published.partitions, published.title)
    if partition == 0 and own.is_file() and own.suffix == ".json":
        images = read_attribute_file(own)
        if images.name == name:
            return images
        if not root.is_dir():
            raise InputError(f"{escaped(own)} is the set {shown_text(images.name, 60)}, not {name}.")
    return published.read(root, partition)


def _require_partition(number: int, count: int, title: str) -> None:
    if not 0 <= number < count:
        raise InputError(f"{title} has {count} partition(s), from 0 to {count - 1}; {number} is none of them.")


def _warn_of_missing_positives(images: AttributeSet) -> None:
    for part, rows in images.partitions.items():
        if not len(rows):
            continue
        positives = (images.labels[rows] == 1).any(axis=0)
        if not positives.all():
            without = [name for name, has in zip(images.attributes, positives.tolist(), strict=True) if not has]
            log.warning(
                "%s: no image of %s has %s; mA is not defined for what no image has.",
                shown_text(images.source),
                part,
                shown(without),
            )
