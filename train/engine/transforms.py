"""Training augmentation: flip, padded crop, random erasing (https://arxiv.org/abs/1708.04896), drawn per image.

The resize comes before (bicubic, from mambapro.runtime.data.preprocess) and is cached by the data set. Flip and crop
work on uint8; the erased box is filled after normalization, since its noise is in normalized units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..models.ranges import Range, check_range

_ERASE_TRIES = 10
_RANGES = {
    "flip": Range(0, 1, whole=False),
    "padding": Range(0, 1024),
    "erase": Range(0, 1, whole=False),
    "erase_area": Range(0, 1, whole=False),
    "erase_aspect": Range(0.01, 100, whole=False),
}


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation; the defaults are the published recipe.

    `erase_area` is a range of fractions of the image, `erase_aspect` of height over width. `shared` gives the three
    images of a sample one flip, one crop and one erased box; the published training draws them independently.
    """

    flip: float = 0.5
    padding: int = 10
    erase: float = 0.5
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    erase_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    shared: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                check_range(f"augmentation.{name}", number, allowed)
        for name in ("erase_area", "erase_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"augmentation.{name} is a range, but {low} is above {high}. Give the smaller first.")


@dataclass(frozen=True)
class Geometry:
    """Random geometry: corner (`top`, `left`) of the crop in the padded image, `box` (top, left, height, width)."""

    flip: bool
    top: int
    left: int
    box: tuple[int, int, int, int] | None


def draw_geometry(size: tuple[int, int], settings: Augmentation, random: np.random.Generator) -> Geometry:
    """Draw flip, crop and erased box for an image of `size` (height, width) pixels."""
    flip = random.random() < settings.flip
    top, left = (int(offset) for offset in random.integers(0, 2 * settings.padding, size=2, endpoint=True))
    box = _draw_box(size, settings, random) if random.random() < settings.erase else None
    return Geometry(bool(flip), top, left, box)


def _draw_box(
    size: tuple[int, int], settings: Augmentation, random: np.random.Generator
) -> tuple[int, int, int, int] | None:
    low, high = (math.log(aspect) for aspect in settings.erase_aspect)
    for _ in range(_ERASE_TRIES):
        area = random.uniform(*settings.erase_area) * size[0] * size[1]
        aspect = math.exp(random.uniform(low, high))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < size[0] and width < size[1]:
            top = int(random.integers(0, size[0] - height, endpoint=True))
            return top, int(random.integers(0, size[1] - width, endpoint=True)), height, width
    return None


def flip_and_crop(image: np.ndarray, geometry: Geometry, padding: int) -> np.ndarray:
    """Mirror, then crop a window of the same size from the zero-padded image; uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3).
    """
    if geometry.flip:
        image = image[:, ::-1]
    out = np.zeros_like(image)
    source_rows, target_rows = _overlap(image.shape[0], geometry.top - padding)
    source_columns, target_columns = _overlap(image.shape[1], geometry.left - padding)
    out[target_rows, target_columns] = image[source_rows, source_columns]
    return out


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Return the overlap of the image with a window moved by `shift`: in the image, in the window."""
    start = max(shift, 0)
    # nothing where the window has left the image
    stop = max(min(length + shift, length), start)
    return slice(start, stop), slice(start - shift, stop - shift)


class Normalisation:
    """Conversion of uint8 images to (value / 255 - mean) / std, by a table of 256 values per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        levels = np.arange(256, dtype=np.float64)[:, None] / 255
        self._table = ((levels - np.asarray(mean)) / np.asarray(std)).T.astype(np.float32)

    def __call__(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write uint8 (H, W, C) as float32 (C, H, W) into `out`."""
        for channel, table in enumerate(self._table):
            np.take(table, image[..., channel], out=out[channel], mode="clip")


class TrainTransform:
    """Augmentation of three resized images, reproducible from the given generator."""

    def __init__(
        self,
        settings: Augmentation,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
    ) -> None:
        self.settings = settings
        self._normalise = Normalisation(mean, std)

    def __call__(self, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Augment and normalize uint8 (3 modalities, H, W, 3). Returns float32 (3 modalities, 3, H, W)."""
        size = images.shape[1], images.shape[2]
        out = np.empty((len(images), 3, *size), dtype=np.float32)
        geometry = draw_geometry(size, self.settings, random)
        for number, image in enumerate(images):
            if number and not self.settings.shared:
                geometry = draw_geometry(size, self.settings, random)
            self._normalise(flip_and_crop(image, geometry, self.settings.padding), out[number])
            if geometry.box is not None:
                top, left, height, width = geometry.box
                noise = random.standard_normal((3, height, width), dtype=np.float32)
                out[number, :, top : top + height, left : left + width] = noise
        return out
