"""Labeled images of attribute recognition as batches, in a random order of their own in every epoch."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler

from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.attributes.label_rows import NOT_JUDGED
from ...runtime.data.modalities import RGB
from ...runtime.data.sample import Benchmark, Sample
from ..engine.distributed import World
from ..engine.training_images import CACHE_BYTES, TrainingImages
from ..engine.transforms import TrainTransform

log = logging.getLogger("mambapro")

#: Default share of the images held out for validation: one in this many.
VALIDATION_SHARE = 10
#: Filter of the resize, as in the evaluation.
_FILTER = "bilinear"


class AttributeBatch(NamedTuple):
    """Images float32 (B, 3, H, W), normalized, and labels uint8 (B, attributes); a single item has no first axis."""

    images: Tensor
    labels: Tensor


class AttributeImages(TrainingImages):
    """Items of a training set: augmented images and their labels.

    An item depends on (seed, epoch, index) only, not on the number of workers.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: npt.NDArray[np.uint8],
        image_size: tuple[int, int],
        transform: TrainTransform,
        *,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        track: Track = silent,
    ) -> None:
        """Prepare the samples; `labels` is uint8 (samples, attributes), `image_size` (height, width) in pixels.

        Raises:
            InputError: no sample, or (when caching) an image that cannot be read.
        """
        super().__init__(
            rgb_only(samples),
            image_size,
            images=1,
            resample=_FILTER,
            seed=seed,
            cache_bytes=cache_bytes,
            track=track,
        )
        self._labels, self._transform = torch.from_numpy(labels), transform

    def __getitem__(self, index: int) -> AttributeBatch:
        random = np.random.default_rng((self.seed, self.epoch, index))
        images = self._transform(self.pixels(index), random)
        return AttributeBatch(torch.from_numpy(images[0]), self._labels[index])


class PlainImages(TrainingImages):
    """Items of a validation set: images uint8 (H, W, 3) without augmentation."""

    def __init__(
        self,
        samples: Sequence[Sample],
        image_size: tuple[int, int],
        *,
        cache_bytes: int = CACHE_BYTES,
        track: Track = silent,
    ) -> None:
        """Prepare the samples; `image_size` is (height, width) in pixels.

        Raises:
            InputError: no sample, or (when caching) an image that cannot be read.
        """
        super().__init__(
            rgb_only(samples),
            image_size,
            images=1,
            resample=_FILTER,
            cache_bytes=cache_bytes,
            track=track,
            text="reading validation images",
        )

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.pixels(index)[0].copy())


class ShuffledBatches(Sampler[list[Any]]):
    """Batches of indices for a DataLoader's `batch_sampler`: every epoch in another order, without its last rest.

    The order depends on (seed, epoch) only: call `set_epoch` before each. In a `world` of several processes each gets
    its part of every batch.
    """

    def __init__(self, count: int, batch: int, seed: int = 0, world: World | None = None) -> None:
        """Prepare for `count` samples in batches of `batch`.

        Raises:
            InputError: fewer samples than a batch, or a batch that the processes cannot share.
        """
        self._world = world or World()
        if count < batch:
            raise InputError(
                f"The training set has {count} images, a batch needs {batch}. Lower solver.batch or use a larger "
                "training set."
            )
        if batch % self._world.size or batch // self._world.size < 2:
            raise InputError(
                f"A batch of {batch} images cannot be shared by {self._world.size} processes; take a multiple, and at "
                "least two for each (solver.batch)."
            )
        self._count, self._batch, self._seed, self._epoch, self._skipped = count, batch, seed, 0, 0

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Choose the epoch of the next iteration, without its first `skip` batches."""
        self._epoch, self._skipped = epoch, skip

    def __len__(self) -> int:
        """Return the number of batches in an epoch, skipped ones included."""
        return self._count // self._batch

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._count).tolist()
        for number in range(self._skipped, len(self)):
            batch = order[number * self._batch : (number + 1) * self._batch]
            yield batch[self._world.share(self._batch)]


def rgb_only(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples with their RGB images alone.

    Raises:
        InputError: a sample has none.
    """
    if missing := [sample.name for sample in samples if RGB not in sample.sources]:
        raise InputError(f"{len(missing)} samples have no RGB image, the first of them {missing[0]}.")
    return [Sample(sample.name, {RGB: sample.sources[RGB]}, labels=sample.labels) for sample in samples]


def label_matrix(samples: Sequence[Sample], names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return the labels of samples by name as an array.

    Returns:
        uint8 (samples, names): 1 = has it, 0 = has it not, 2 = not judged.
    """
    rows = [[sample.labels.get(name, NOT_JUDGED) for name in names] for sample in samples]
    return np.array(rows, np.uint8).reshape(len(rows), len(names))


def split_images(
    benchmark: Benchmark, held_out: int | None, seed: int, join: bool = False
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Choose the training and the validation samples of a benchmark.

    Args:
        benchmark: with labeled images.
        held_out: number of training images that validate; None: the validation part, or a tenth where there is none.
        seed: of the choice.
        join: the validation part belongs to the training images.

    Returns:
        training samples, and validation samples, which may be none.

    Raises:
        InputError: fewer training images than are held out.
    """
    images = benchmark.train + (benchmark.validation if join else ())
    if held_out is None and benchmark.validation and not join:
        return images, benchmark.validation
    count = len(images) // VALIDATION_SHARE if held_out is None else held_out
    if held_out is None and not count:
        log.warning(
            "A tenth of %d training images is no image, so no epoch is validated and the last one is taken for the "
            "best. Set validation_images to hold some out.",
            len(images),
        )
    if count and count >= len(images):
        raise InputError(
            f"Of {len(images)} training images {count} cannot be held out for validation. Lower validation_images."
        )
    held = np.zeros(len(images), bool)
    held[np.random.default_rng(seed).choice(len(images), count, replace=False)] = True
    pairs = list(zip(images, held.tolist(), strict=True))
    return tuple(sample for sample, away in pairs if not away), tuple(sample for sample, away in pairs if away)


def fingerprint(name: str, names: Sequence[str], words: Sequence[str], parts: Sequence[Sequence[Sample]]) -> str:
    """Hash a data set's name, its labels, and names and labels of the samples of each part, 16 hex digits."""
    total = hashlib.sha256(json.dumps([name, list(names), list(words)]).encode())
    for samples in parts:
        total.update(json.dumps([sample.name for sample in samples]).encode())
        total.update(label_matrix(samples, names).tobytes())
    return total.hexdigest()[:16]
