"""Colors and materials: appearance of an identity's parts to the three sensors."""

from __future__ import annotations

import numpy as np

from .part_map import PARTS, Floats, between
from .settings import COLOUR_JITTER

Colour = tuple[float, float, float]

CLOTH: tuple[Colour, ...] = (
    (0.06, 0.06, 0.07),
    (0.92, 0.92, 0.90),
    (0.50, 0.51, 0.52),
    (0.10, 0.14, 0.36),
    (0.76, 0.10, 0.12),
    (0.10, 0.36, 0.18),
    (0.92, 0.78, 0.14),
    (0.16, 0.42, 0.82),
    (0.40, 0.25, 0.14),
    (0.80, 0.70, 0.54),
    (0.92, 0.50, 0.62),
    (0.40, 0.20, 0.56),
    (0.95, 0.50, 0.10),
    (0.10, 0.56, 0.56),
)
SKIN: tuple[Colour, ...] = ((0.94, 0.78, 0.68), (0.85, 0.66, 0.52), (0.66, 0.46, 0.34), (0.42, 0.28, 0.20))
HAIR: tuple[Colour, ...] = (
    (0.05, 0.04, 0.04),
    (0.22, 0.13, 0.08),
    (0.45, 0.28, 0.14),
    (0.82, 0.66, 0.36),
    (0.62, 0.62, 0.62),
    (0.55, 0.20, 0.10),
)
LACQUER: tuple[Colour, ...] = (
    (0.07, 0.07, 0.08),
    (0.93, 0.93, 0.93),
    (0.66, 0.68, 0.70),
    (0.38, 0.40, 0.42),
    (0.70, 0.08, 0.10),
    (0.10, 0.18, 0.48),
    (0.20, 0.46, 0.80),
    (0.10, 0.34, 0.20),
    (0.90, 0.74, 0.12),
    (0.92, 0.46, 0.08),
    (0.38, 0.24, 0.14),
    (0.76, 0.68, 0.52),
    (0.46, 0.12, 0.36),
)


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
