"""Decoding of the images of samples into batches, for one model or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from .batch import Batch
from .preprocess import Preprocessing, image_arrays
from .range_watch import RangeWatch
from .rgb_conversion import ImageLike, LastFile

#: Images of a batch that a message names.
MOST_TOLD = 5


@dataclass(frozen=True)
class View:
    """Images of one model: modalities in its order, preprocessing, and the record of 16-bit values."""

    modalities: tuple[str, ...]
    preprocessing: Preprocessing
    watch: RangeWatch | None = None

    def empty(self, cameras: np.ndarray) -> Batch:
        """Return a batch of samples with these cameras whose images are all missing."""
        shape = (len(cameras), self.preprocessing.height, self.preprocessing.width, 3)
        arrays = {modality: np.zeros(shape, np.uint8) for modality in self.modalities}
        return Batch(arrays, np.zeros((len(cameras), len(arrays)), np.float32), cameras)


def decode(
    samples: Iterable[Mapping[str, ImageLike | None]],
    cameras: np.ndarray,
    modalities: Sequence[str],
    preprocessing: Preprocessing,
    watch: RangeWatch | None = None,
) -> tuple[Batch, list[BadImage]]:
    """Decode a batch; a file that holds several images of a sample is decoded once.

    Args:
        samples: the images of each sample by modality; None or no entry = missing.
        cameras: int64 (N,), of the N samples.
        modalities: of the batch, in order.
        preprocessing: of the images.
        watch: observes the 16-bit values, and warns.

    Returns:
        The batch, and the unusable images by sensor and sample; they are black and masked.
    """
    (batch,), bad = decode_views(samples, cameras, (View(tuple(modalities), preprocessing, watch),))
    return batch, bad


def decode_views(
    samples: Iterable[Mapping[str, ImageLike | None]], cameras: np.ndarray, views: Sequence[View]
) -> tuple[list[Batch], list[BadImage]]:
    """Decode a batch for several models; each image is decoded once.

    Args:
        samples, cameras: as for `decode`.
        views: of the models.

    Returns:
        A batch for each view, and the unusable images as `decode`.
    """
    batches = [view.empty(cameras) for view in views]
    sensors = {
        modality: [number for number, view in enumerate(views) if modality in view.modalities]
        for modality in dict.fromkeys(name for view in views for name in view.modalities)
    }
    bad: dict[str, list[BadImage]] = {modality: [] for modality in sensors}
    for row, images in enumerate(samples):
        file = LastFile()
        for modality, numbers in sensors.items():
            image = images.get(modality)
            if image is None:
                continue
            settings = [views[number].preprocessing for number in numbers]
            try:
                arrays = image_arrays(image, settings, modality, [views[number].watch for number in numbers], file)
            except InputError as error:
                bad[modality].append(BadImage(row, modality, error))
                continue
            for number, array in zip(numbers, arrays, strict=True):
                batches[number].images[modality][row] = array
                batches[number].mask[row, views[number].modalities.index(modality)] = 1.0
    for view in views:
        if view.watch is not None:
            view.watch.tell()
    return batches, [image for of_sensor in bad.values() for image in of_sensor]


class UnusableImageError(InputError):
    """Unusable images in a batch of otherwise good samples."""


@dataclass(frozen=True)
class BadImage:
    """Unusable image: the number of its sample, its sensor, and the reason."""

    sample: int
    sensor: str
    error: InputError

    def __str__(self) -> str:
        return f"Sample {self.sample}, {self.sensor}: {self.error}"


def told_bad(bad: Sequence[BadImage]) -> str:
    """Format the unusable images of one batch for a message."""
    if len(bad) == 1:
        return str(bad[0])
    lines = [str(image) for image in bad[:MOST_TOLD]]
    if len(bad) > MOST_TOLD:
        lines.append(f"... and {len(bad) - MOST_TOLD} more")
    return f"{len(bad)} images of one batch cannot be used:\n  " + "\n  ".join(lines)
