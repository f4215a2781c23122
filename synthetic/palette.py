"""Colors and materials: appearance of an identity's parts to the three sensors."""

from __future__ import annotations

import numpy as np

from .part_map import PARTS, Floats, between
from .settings import COLOUR_JITTER
from .vehicle_shapes import SHAPES, tuples

Colour = tuple[float, float, float]

CLOTH, SKIN, HAIR, LACQUER = (tuples(SHAPES["palettes"][name]) for name in ("cloth", "skin", "hair", "lacquer"))


def choose_colour(rng: np.random.Generator, palette: tuple[Colour, ...], unlike: Colour | None = None) -> Colour:
    """Draw a color of a palette with a small deviation, visibly different from `unlike`."""
    order = rng.permutation(len(palette))
    jitter = rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)
    for index in order:
        colour = np.clip(np.asarray(palette[index]) + jitter, 0.02, 0.98)
        if unlike is None or np.abs(colour - np.asarray(unlike)).sum() > 0.6:
            break
    return float(colour[0]), float(colour[1]), float(colour[2])


class Materials:
    """Per part: visible colour, NIR reflectance, TIR radiance; tables indexed by part number, 0..1."""

    def __init__(self) -> None:
        self.rgb: Floats = np.zeros((PARTS, 3), np.float32)
        self.nir: Floats = np.zeros((PARTS, 1), np.float32)
        self.tir: Floats = np.zeros((PARTS, 1), np.float32)

    def add(
        self, rng: np.random.Generator, part: int, colour: Colour, nir: tuple[float, float], tir: tuple[float, float]
    ) -> None:
        """Set the color of a part; reflectance and heat are drawn between limits, independent of the color."""
        self.rgb[part] = colour
        self.nir[part] = between(rng, nir)
        self.tir[part] = between(rng, tir)

    def shade(self, part: int, source: int, factor: float) -> None:
        """Set a part to the material of another one in its shade; heat does not change."""
        self.rgb[part] = np.clip(self.rgb[source] * factor, 0.0, 1.0)
        self.nir[part] = np.clip(self.nir[source] * factor, 0.0, 1.0)
        self.tir[part] = self.tir[source]

    def tables(self) -> tuple[Floats, Floats, Floats]:
        """Return the three tables in the order of MODALITIES: float32 (256, 3 | 1 | 1), 0..1."""
        return self.rgb, self.nir, self.tir
