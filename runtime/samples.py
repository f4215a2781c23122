"""What a caller gives an Extractor, sorted out: images of three sensors, one or many, some missing; camera numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .data.folders import shown
from .preprocess import ImageLike, Preprocessing, image_array

#: Images of one sensor: one image, a sequence of images (None = missing for that sample), a 4-D array, or None.
Images = ImageLike | Sequence[ImageLike | None] | None

#: Camera numbers: one for all samples, one per sample, or None = unknown.
Cameras = int | Sequence[int] | np.ndarray | None

UNKNOWN_CAMERA = -1


@dataclass(frozen=True)
class Samples:
    """The images of N samples by modality, not decoded yet; None stands for a missing image."""

    images: dict[str, Sequence[ImageLike | None]]
    count: int

    def load(self, start: int, stop: int, preprocessing: Preprocessing) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Decode samples start..stop.

        Returns:
            uint8 (n, height, width, 3) by modality, zeros where missing, and the float32 mask (n, modalities).

        Raises:
            InputError: an image that cannot be used; names the sample and the sensor.
        """
        shape = (stop - start, preprocessing.height, preprocessing.width, 3)
        arrays = {modality: np.zeros(shape, np.uint8) for modality in self.images}
        mask = np.zeros((stop - start, len(self.images)), np.float32)
        for column, (modality, images) in enumerate(self.images.items()):
            for row in range(stop - start):
                image = images[start + row]
                if image is None:
                    continue
                try:
                    arrays[modality][row] = image_array(image, preprocessing)
                except InputError as error:
                    raise InputError(f"Sample {start + row}, {modality}: {error}") from error
                mask[row, column] = 1.0
        return arrays, mask


def gather(given: Mapping[str, Images]) -> Samples:
    """Count the samples and check that the sensors agree.

    Raises:
        InputError: different counts (all of them named), no image at all, or a sample that no sensor saw.
    """
    lists = {modality: _as_sequence(modality, images) for modality, images in given.items()}
    counts = {modality: len(images) for modality, images in lists.items() if images is not None}
    if not counts:
        raise InputError(f"All of {', '.join(given)} are None. Give the images of at least one sensor.")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{modality} {counts.get(modality, 'none')}" for modality in given)
        raise InputError(
            f"The sensors have different numbers of images: {told}. Give one image per sample and sensor, "
            "None for each missing image, or None for a sensor that is missing altogether."
        )
    count = next(iter(counts.values()))
    full = {modality: [None] * count if images is None else images for modality, images in lists.items()}
    empty = [str(i) for i in range(count) if all(images[i] is None for images in full.values())]
    if empty:
        raise InputError(f"No sensor has an image of sample {shown(empty)}. A sample needs at least one image.")
    return Samples(full, count)


def _as_sequence(modality: str, images: Images) -> Sequence[ImageLike | None] | None:
    if images is None:
        return None
    if isinstance(images, np.ndarray):
        return _array_as_sequence(modality, images)
    if isinstance(images, str | os.PathLike):
        return [images]
    if isinstance(images, bytes | bytearray):
        raise InputError(f"{modality} is {type(images).__name__}. Decode it first, or give the path of the file.")
    if isinstance(images, Sequence):
        return images
    if hasattr(images, "__next__"):
        raise InputError(f"{modality} is an iterator, whose length is not known. Give a list.")
    # An ImageSource, a PIL image, or something that image_array will refuse by name.
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


def camera_numbers(given: Cameras, count: int, cameras: int, strict: bool) -> np.ndarray:
    """int64 (count,) camera numbers; unknown ones are -1.

    Numbers outside 0..cameras-1 are left as they are: the model treats every one of them as unknown.

    Raises:
        InputError: not whole numbers, not one per sample, or, with `strict`, a number outside the model's table.
    """
    if given is None:
        given = UNKNOWN_CAMERA
    try:
        numbers = np.asarray(given)
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
