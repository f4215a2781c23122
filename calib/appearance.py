"""Brightness and colorfulness of images, to balance a choice and to detect swapped sensors' folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..runtime.data.modalities import MODALITIES, RGB
from ..runtime.data.preprocess import Preprocessing, sensor_arrays
from ..runtime.data.sample import Sample

#: Mean of 0 to 255 below which an RGB image is dark.
DARK = 45.0
#: Mean distance of a pixel's largest and smallest channel: above COLORED no gray camera took it, below GRAY no
#: color camera did. JPEG artifacts of gray stay below both.
COLORED, GRAY = 12.0, 1.5
#: Pixels of the small copy that is measured.
_SIDE = 32


@dataclass(frozen=True)
class Look:
    """Appearance of one sample.

    Attributes:
        brightness: mean of the RGB image, 0 to 255; None if it is missing.
        color: by present sensor, the mean distance of a pixel's largest and smallest channel.
    """

    brightness: float | None
    color: dict[str, float]

    @property
    def dark(self) -> bool | None:
        """True if the RGB image is dark; None if it is missing."""
        return None if self.brightness is None else self.brightness < DARK


def look_at(image: Sample, preprocessing: Preprocessing) -> Look:
    """Measure the images of one sample.

    Raises:
        InputError: an image that cannot be read.
    """
    small = replace(preprocessing, height=_SIDE, width=_SIDE)
    brightness, color = None, {}
    for modality, array in zip(image.sources, sensor_arrays(image.sources, small), strict=True):
        pixels = array.astype(np.float32)
        color[modality] = float((pixels.max(axis=2) - pixels.min(axis=2)).mean())
        if modality == RGB:
            brightness = float(pixels.mean())
    return Look(brightness, color)


def swapped(looks: Iterable[Look]) -> dict[str, int]:
    """Count images that look as if another sensor took them, by sensor: color in NIR or TIR, gray by day in RGB."""
    counts = dict.fromkeys(MODALITIES, 0)
    for look in looks:
        for modality, color in look.color.items():
            strange = (color < GRAY and not look.dark) if modality == RGB else color > COLORED
            counts[modality] += bool(strange)
    return counts
