"""Calibration images as batches of the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..runtime.bundle.metadata import BundleMetadata
from ..runtime.data.decoding import UnusableImageError, decode, told_bad
from ..runtime.data.sample import Sample


class Feeds(Sequence[dict[str, np.ndarray]]):
    """Batches of `images`. A model of fixed batch gets its last batch filled up with the first images.

    Args:
        images: in order.
        metadata: the model's inputs and preprocessing.
        batch: samples of a batch; the model's own where that is fixed.
    """

    def __init__(self, images: Sequence[Sample], metadata: BundleMetadata, batch: int) -> None:
        self.images, self.metadata = tuple(images), metadata
        self.batch = metadata.batch or batch

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:  # type: ignore[override]
        """Return the inputs by name; the same for each call.

        Raises:
            InputError: an image that cannot be read.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        chosen = list(self.images[number * self.batch : (number + 1) * self.batch])
        if self.metadata.batch is not None:
            chosen += [self.images[i % len(self.images)] for i in range(self.batch - len(chosen))]
        cameras = np.array([sample.camera for sample in chosen], np.int64)
        images = [sample.sources for sample in chosen]
        batch, bad = decode(images, cameras, self.metadata.modalities, self.metadata.preprocessing)
        if bad:
            raise UnusableImageError(told_bad(bad)) from bad[0].error
        return batch.feeds(self.metadata.inputs)
