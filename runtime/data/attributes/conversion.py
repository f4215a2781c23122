"""Conversion of a set of labeled images to the toolkit's format."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ....common.files.targets import require_free
from ....common.foreign_text import escaped, shown_text
from ....common.records import Report
from ....common.tables import text_table
from ....errors import InputError
from ..readers.listing import shown
from .attribute_file import FILE_NAME, write_attribute_file
from .attribute_readers import (
    ANY,
    read_attributes,
    read_published,
    warn_of_missing_positives,
    with_trainval,
)
from .attribute_set import PARTITIONS, AttributeSet
from .image_listing import is_folder, missing_images
from .label_rows import NOT_JUDGED


@dataclass(frozen=True)
class ConversionReport(Report):
    """Result of a conversion.

    Attributes:
        name: of the set.
        source: the annotation that was read.
        path: the file that was written.
        images, attributes: their numbers.
        partitions: number of images by part.
        not_judged: number of labels 2.
        without_positives: by part, the attributes that no image has, for which mA is not defined.
        missing: annotated images that were left out, since there is no such file.
    """

    name: str
    source: str
    path: str
    images: int
    attributes: int
    partitions: dict[str, int]
    not_judged: int
    without_positives: dict[str, list[str]]
    missing: list[str]

    def __str__(self) -> str:
        rows = [("part", "images"), *((part, f"{count:,}") for part, count in self.partitions.items())]
        lines = [
            f"{escaped(self.name)}: {self.images:,} images, {self.attributes} attributes, {self.not_judged:,} labels "
            "not judged",
            f"from {shown_text(self.source)}",
            f"written to {escaped(self.path)}",
            text_table(rows, "<>"),
        ]
        if self.missing:
            lines.append(f"left out, since there is no such file: {len(self.missing):,} images, {shown(self.missing)}")
        return "\n".join(lines)


def convert_set(
    root: str | os.PathLike[str],
    dataset: str,
    out: str | os.PathLike[str],
    *,
    partition: int = 0,
    trainval: bool = False,
    skip_missing: bool = False,
    overwrite: bool = False,
) -> ConversionReport:
    """Write a set as an attributes.json, which every command reads without the packages of the published format.

    Args:
        root: folder of the set.
        dataset: its name.
        out: the file, or a folder for a file called attributes.json.
        partition: number of the partition, where the publishers offer several.
        trainval: train on the validation part too.
        skip_missing: leave out annotated images that are not there, in place of the error.
        overwrite: replace the file.

    Raises:
        InputError: as `read_attributes`; images are missing, or the file exists.
        SetupError: the package that reads the format is missing; no room or no permission.
    """
    path = Path(out)
    path = path if path.suffix == ".json" and not path.is_dir() else path / FILE_NAME
    require_free(path, overwrite)
    of_any = dataset == ANY
    images = (
        read_attributes(ANY, root, partition=partition) if of_any else read_published(dataset, Path(root), partition)
    )
    images = with_trainval(images) if trainval else images
    missing = _missing(images, skip_missing)
    images = _without(images, missing)
    write_attribute_file(path, images, overwrite=overwrite)
    return ConversionReport(
        images.name,
        images.source,
        str(path),
        len(images.images),
        len(images.attributes),
        {part: len(images.partitions[part]) for part in PARTITIONS},
        int((images.labels == NOT_JUDGED).sum()),
        warn_of_missing_positives(images),
        missing,
    )


def _missing(images: AttributeSet, skip: bool) -> list[str]:
    where = shown_text(images.source)
    if not is_folder(images.root):
        raise InputError(f"The folder of the images of {where}, {escaped(images.root)}, is not there.")
    missing = missing_images(images.root, images.images)
    if missing and not skip:
        raise InputError(
            f"{len(missing):,} of {len(images.images):,} images of {where} are not in {escaped(images.root)}: "
            f"{shown(missing)}. Copy them there, or leave them out of the set with --skip-missing; with --json all are "
            "listed."
        )
    return missing


def _without(images: AttributeSet, missing: list[str]) -> AttributeSet:
    """Return a set without some of its images."""
    if not missing:
        return images
    gone = set(missing)
    there = np.array([image not in gone for image in images.images])
    rows = np.cumsum(there) - 1
    return replace(
        images,
        images=tuple(image for image in images.images if image not in gone),
        labels=images.labels[there],
        partitions={part: rows[old[there[old]]] for part, old in images.partitions.items()},
        conversion=replace(images.conversion, skipped=images.conversion.skipped + len(missing)),
    )
