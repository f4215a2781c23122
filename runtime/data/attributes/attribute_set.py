"""Images with labeled attributes and their partition into training, validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ....common.foreign_text import shown_text
from ....errors import InputError
from ..modalities import RGB
from ..readers.listing import shown
from ..sample import AttributeNames, Benchmark, ImageSource, Sample
from .label_rows import NOT_JUDGED, LabelRow

TRAIN, VALIDATION, TEST = PARTITIONS = ("train", "val", "test")
#: (height, width) in pixels of the models' input.
IMAGE_SIZE = (224, 224)
#: Most attributes of a set, and longest name or phrase.
MOST_ATTRIBUTES, LONGEST_NAME = 4096, 200


@dataclass(frozen=True)
class Conversion:
    """Choices by which a set differs from the published one as it is read by default.

    Attributes:
        partition: number of the partition, from 0.
        trainval: the training part includes the validation part.
        skipped: number of images left out since they were missing.
    """

    partition: int = 0
    trainval: bool = False
    skipped: int = 0

    def __str__(self) -> str:
        return ", ".join(
            [f"partition {self.partition}"] * bool(self.partition)
            + ["validation part joined to the training part"] * self.trainval
            + [f"missing images left out: {self.skipped:,}"] * bool(self.skipped)
        )


@dataclass(frozen=True, eq=False)
class AttributeSet:
    """Labeled images of persons, checked as a whole.

    Attributes:
        name: "pa100k", or that in an attributes.json.
        root: folder of the images.
        images: paths below `root`, with slashes.
        labels: uint8 (images, attributes): 1 = has it, 0 = has it not, 2 = not judged.
        attributes: names in the order of the columns.
        words: the phrase of each attribute for models with text.
        exclusive: groups of attributes, of which a person has at most one.
        partitions: "train", "val" and "test": int64 rows, from zero; each may be empty.
        source: the file and partition that it was read from, for messages.
        conversion: its differences from the published set.

    Raises:
        InputError: sizes that do not fit each other, other labels, names or images twice, paths that leave the root,
            rows beyond the images, a row in two partitions.
    """

    name: str
    root: Path
    images: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    attributes: tuple[str, ...]
    words: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()
    partitions: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    source: str = ""
    conversion: Conversion = Conversion()

    def __post_init__(self) -> None:
        what = shown_text(self.source or self.name)
        _check_names(self.attributes, self.words, self.exclusive, what)
        _check_labels(self.labels, len(self.images), self.attributes, self.images, what)
        _check_images(self.images, what)
        _check_partitions(self.partitions, self.images, what)

    @property
    def names(self) -> AttributeNames:
        """Names, words and groups of the attributes."""
        return AttributeNames(self.attributes, self.words, self.exclusive)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.attributes)}

    def samples(self, partition: str) -> tuple[Sample, ...]:
        """Return the samples of a partition, in its order; each has its RGB image and its labels by name."""
        columns = self._columns
        return tuple(
            Sample(
                self.images[row],
                {RGB: ImageSource(self.root / self.images[row])},
                labels=LabelRow(columns, self.labels[row].tobytes()),
            )
            for row in self.partitions[partition].tolist()
        )

    def benchmark(self, test_only: bool = False) -> Benchmark:
        """Return the set as a benchmark; `test_only` omits training and validation samples."""
        return Benchmark(
            self.name,
            train=() if test_only else self.samples(TRAIN),
            query=self.samples(TEST),
            gallery=(),
            junk="",
            image_size=IMAGE_SIZE,
            validation=() if test_only else self.samples(VALIDATION),
            attributes=self.names,
        )

    def __str__(self) -> str:
        counts = ", ".join(f"{len(rows):,} {part}" for part, rows in self.partitions.items())
        return f"{self.name}: {len(self.images):,} images, {len(self.attributes)} attributes; {counts}"


def _check_names(names: Sequence[str], words: Sequence[str], groups: Sequence[Sequence[str]], what: str) -> None:
    if not 0 < len(names) <= MOST_ATTRIBUTES:
        raise InputError(f"{what} has {len(names):,} attributes; 1 to {MOST_ATTRIBUTES:,} are read.")
    if twice := _twice(names):
        raise InputError(f"{what} names attributes twice: {shown(twice)}. Each attribute needs a name of its own.")
    if len(words) != len(names):
        raise InputError(f"{what} has {len(words)} words for {len(names)} attributes; each attribute has one phrase.")
    if long := [text for text in (*names, *words) if not text.strip() or len(text) > LONGEST_NAME]:
        raise InputError(f"{what}: {shown(long)!r} is no name; a name or phrase has 1 to {LONGEST_NAME} letters.")
    if unknown := [name for group in groups for name in group if name not in names]:
        raise InputError(f"{what} puts {shown(unknown)} into a group of exclusive attributes, and has none such.")
    if small := [group for group in groups if not 1 < len(set(group)) == len(group)]:
        raise InputError(
            f"{what} has {shown(small[0]) or 'no attribute'} as a group of exclusive attributes; a group is two or "
            "more different attributes."
        )


def _check_labels(
    labels: npt.NDArray[np.uint8], count: int, names: Sequence[str], images: Sequence[str], what: str
) -> None:
    if labels.dtype != np.uint8 or labels.shape != (count, len(names)):
        raise InputError(
            f"{what} has labels of shape {labels.shape}, type {labels.dtype}, for {count:,} images and {len(names)} "
            "attributes."
        )
    if not count:
        raise InputError(f"{what} has no images.")
    wrong = labels > NOT_JUDGED
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"{what} has {int(wrong.sum()):,} labels other than 0, 1 and 2 (not judged); the first is "
            f"{int(labels[row, column])}, {shown_text(names[column], 60)} of {shown_text(images[row])}."
        )


def _check_images(images: Sequence[str], what: str) -> None:
    if twice := _twice(images):
        raise InputError(f"{what} lists {len(twice):,} images twice: {shown(twice)}. Remove one of each.")
    if outside := [image for image in images if _leaves_the_root(image)]:
        raise InputError(
            f"{what} has {len(outside):,} image paths that are not below the images' folder: {shown(outside)}. Paths "
            "are relative, with slashes, and without '..'."
        )


def _leaves_the_root(image: str) -> bool:
    parts = image.split("/")
    return "\\" in image or "\0" in image or image[1:2] == ":" or any(part in ("", ".", "..") for part in parts)


def _check_partitions(partitions: Mapping[str, npt.NDArray[np.int64]], images: Sequence[str], what: str) -> None:
    if set(partitions) != set(PARTITIONS) or not any(map(len, partitions.values())):
        raise InputError(f"{what} has partitions {shown(sorted(partitions))}; a set has train, val and test.")
    taken = np.zeros(len(images), np.int64)
    for name, rows in partitions.items():
        if rows.dtype != np.int64 or rows.ndim != 1:
            raise InputError(f"{what}: the rows of {name} are of shape {rows.shape}, type {rows.dtype}.")
        beyond = rows[(rows < 0) | (rows >= len(images))]
        if len(beyond):
            raise InputError(
                f"{what}: {name} has {len(beyond):,} rows beyond the {len(images):,} images: "
                f"{shown([str(row) for row in beyond[:20].tolist()])}. Rows are counted from 0."
            )
        counts = np.bincount(rows, minlength=len(images))
        if (counts > 1).any():
            raise InputError(
                f"{what}: {name} has {int((counts > 1).sum()):,} images more than once: {_some(counts > 1, images)}."
            )
        taken += counts
    if (taken > 1).any():
        raise InputError(
            f"{what}: {int((taken > 1).sum()):,} images are in more than one of train, val and test: "
            f"{_some(taken > 1, images)}. What is trained on proves nothing in a test."
        )


def _some(chosen: npt.NDArray[np.bool_], images: Sequence[str]) -> str:
    return shown([images[row] for row in np.flatnonzero(chosen).tolist()])


def _twice(names: Sequence[str]) -> list[str]:
    return [] if len(set(names)) == len(names) else [name for name, count in Counter(names).items() if count > 1]
