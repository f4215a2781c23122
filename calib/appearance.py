"""What an image looks like: dark, coloured, grey. Enough to balance a choice and to notice swapped folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..runtime.data.modalities import MODALITIES, RGB
from ..runtime.data.preprocess import Preprocessing, sensor_arrays
from ..runtime.data.sample import Sample

#: Mean of 0 to 255 below which an RGB image is dark.
DARK = 45.0
#: Mean distance of a pixel's largest and smallest channel: above COLOURED no grey camera took it, below GREY no
#: colour camera did. What JPEG makes of grey stays below both.
COLOURED, GREY = 12.0, 1.5
#: Pixels of the small copy that is looked at.
_SIDE = 32


@dataclass(frozen=True)
class Look:
    """`brightness` of the RGB image (mean, 0 to 255; None where it is missing), and of each present sensor's image
    `colour`, the mean distance of a pixel's largest and smallest channel."""

    brightness: float | None
    colour: dict[str, float]

    @property
    def dark(self) -> bool | None:
        """Whether the RGB image is dark; None where it is missing."""
        return None if self.brightness is None else self.brightness < DARK


def look_at(image: Sample, preprocessing: Preprocessing) -> Look:
    """Look at the images of one sample.

    Raises:
        InputError: an image that cannot be read.
    """
    small = replace(preprocessing, height=_SIDE, width=_SIDE)
    brightness, colour = None, {}
    for modality, array in zip(image.sources, sensor_arrays(image.sources, small), strict=True):
        pixels = array.astype(np.float32)
        colour[modality] = float((pixels.max(axis=2) - pixels.min(axis=2)).mean())
        if modality == RGB:
            brightness = float(pixels.mean())
    return Look(brightness, colour)


def swapped(looks: Iterable[Look]) -> dict[str, int]:
    """How many images look as if another sensor took them, by sensor: colour in NIR or TIR, grey by day in RGB."""
    counts = dict.fromkeys(MODALITIES, 0)
    for look in looks:
        for modality, colour in look.colour.items():
            strange = (colour < GREY and not look.dark) if modality == RGB else colour > COLOURED
            counts[modality] += bool(strange)
    return counts
