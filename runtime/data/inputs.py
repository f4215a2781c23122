"""Normalization of the inputs of `Extractor`: images of up to three sensors, and camera numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import InputError
from .batch import Batch
from .decoding import BadImage, UnusableImageError, decode, told_bad
from .preprocess import Preprocessing
from .range_watch import RangeWatch
from .readers.listing import shown
from .rgb_conversion import ImageLike, is_encoded
from .sample import UNKNOWN

#: Images of one sensor: one image, a sequence of images (None = missing for that sample), a 4-D array, or None.
Images = ImageLike | Sequence[ImageLike | None] | None

#: Camera numbers: one for all samples, or one per sample; None = unknown.
Cameras = int | Sequence[int | None] | np.ndarray | None


@dataclass(frozen=True)
class Samples:
    """Images of N samples by modality, not decoded yet, None = missing; camera numbers, int64 (N,)."""

    images: dict[str, Sequence[ImageLike | None]]
    cameras: np.ndarray

    def __len__(self) -> int:
        return len(self.cameras)

    def load(self, start: int, stop: int, preprocessing: Preprocessing, watch: RangeWatch | None = None) -> Batch:
        """Decode samples start..stop.

        Raises:
            InputError: unusable images; the message names those of the batch, by sample and sensor.
        """
        batch, bad = self.load_good(start, stop, preprocessing, watch)
        if bad:
            raise UnusableImageError(told_bad(bad)) from bad[0].error
        return batch

    def load_good(
        self, start: int, stop: int, preprocessing: Preprocessing, watch: RangeWatch | None = None
    ) -> tuple[Batch, list[BadImage]]:
        """Decode as `load`, but return unusable images as a list; they are black and masked in the batch."""
        rows = ({name: images[i] for name, images in self.images.items()} for i in range(start, stop))
        batch, bad = decode(rows, self.cameras[start:stop], tuple(self.images), preprocessing, watch)
        return batch, [replace(image, sample=start + image.sample) for image in bad]


def gather(
    inputs: Mapping[str, Images],
    cameras: Cameras = None,
    known: int = 0,
    strict: bool = False,
    empty: list[int] | None = None,
) -> Samples:
    """Count the samples and check that the sensors agree.

    Args:
        inputs: images by modality.
        cameras: see `camera_numbers`.
        known: number of cameras of the model.
        strict: reject other cameras.
        empty: receives the numbers of samples without any image, which are errors if it is None.

    Raises:
        InputError: different counts (all of them named), no image at all, a sample that no sensor saw, or cameras that
            cannot be used.
    """
    lists = {modality: _as_sequence(modality, images) for modality, images in inputs.items()}
    counts = {modality: len(images) for modality, images in lists.items() if images is not None}
    if not counts:
        raise InputError(f"All of {', '.join(inputs)} are None. Give the images of at least one sensor.")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{modality} {counts.get(modality, 'none')}" for modality in inputs)
        raise InputError(
            f"The sensors have different numbers of images: {listed}. Give one image per sample and sensor, "
            "None for each missing image, or None for a sensor that is missing altogether."
        )
    count = next(iter(counts.values()))
    full = {modality: [None] * count if images is None else images for modality, images in lists.items()}
    unseen = [i for i in range(count) if all(images[i] is None for images in full.values())]
    if empty is not None:
        empty += unseen
    elif unseen:
        numbers = shown([str(i) for i in unseen])
        raise InputError(f"No sensor has an image of sample {numbers}. A sample needs at least one image.")
    return Samples(full, camera_numbers(cameras, count, known, strict))


def _as_sequence(modality: str, images: Images) -> Sequence[ImageLike | None] | None:
    if images is None:
        return None
    if isinstance(images, np.ndarray):
        return _array_as_sequence(modality, images)
    if isinstance(images, str | os.PathLike) or is_encoded(images):
        return [images]
    if isinstance(images, Sequence) and not isinstance(images, bytes | bytearray | memoryview):
        return images
    if hasattr(images, "__next__"):
        kind = type(images).__name__
        raise InputError(
            f"{modality} is an iterator ({kind}), whose length is not known. Give a list: list(images); one encoded "
            "image is its bytes or an open file."
        )
    # An ImageSource, a PIL image, or something that image_array will reject by name.
    return [images]


def _array_as_sequence(modality: str, array: np.ndarray) -> Sequence[np.ndarray]:
    if array.ndim == 4:
        return list(array)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3)):
        return [array]
    raise InputError(
        f"{modality} is an array of shape {array.shape}. One image is (H, W, 3), (H, W, 1) or (H, W), several are "
        "(N, H, W, 3), (N, H, W, 1) or a list of images."
    )


def camera_numbers(numbers_or_none: Cameras, count: int, cameras: int, strict: bool) -> np.ndarray:
    """Return camera numbers; unknown ones are -1. Numbers outside 0..cameras-1 stay: the model treats them as unknown.

    Returns:
        int64 (count,).

    Raises:
        InputError: not whole numbers, not one per sample, or, with `strict`, a number outside the model's table.
    """
    if numbers_or_none is None:
        numbers_or_none = UNKNOWN
    if isinstance(numbers_or_none, np.ndarray) and numbers_or_none.dtype == object:
        numbers_or_none = numbers_or_none.tolist()
    if isinstance(numbers_or_none, list | tuple):
        numbers_or_none = [UNKNOWN if number is None else number for number in numbers_or_none]
    try:
        numbers = np.asarray(numbers_or_none)
        if count == 0 and numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or (numbers.ndim == 1 and len(numbers) != count):
            raise InputError(
                f"cameras must be one whole number, or one for each of the {count} samples, not {numbers.dtype} of "
                f"shape {numbers.shape}."
            )
        numbers = np.broadcast_to(numbers, (count,)).astype(np.int64)
    except (OverflowError, TypeError) as error:
        raise InputError(f"cameras must be whole numbers: {error}.") from error
    except ValueError as error:
        raise (
            error if isinstance(error, InputError) else InputError(f"cameras must be whole numbers: {error}.")
        ) from error
    outside = [str(number) for number in np.unique(numbers[(numbers < 0) | (numbers >= cameras)])]
    if strict and outside:
        allowed = f"numbers 0 to {cameras - 1}" if cameras else "none: it has no camera embedding"
        raise InputError(
            f"Cameras outside the model's table: {shown(outside)}. It knows {allowed}. "
            "Without strict_cameras (--strict-cameras) the model takes them as unknown."
        )
    return numbers
