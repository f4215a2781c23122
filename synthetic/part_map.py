"""Part maps: figures are drawn once with one number per part, and each sensor maps the numbers to values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Point = tuple[float, float]
Floats = npt.NDArray[np.float32]

#: Oversampling of figures, which smooths their edges.
OVERSAMPLING = 2
#: First numbers of the parts of an occluding figure and of a pole.
BYSTANDER, POLE = 64, 128
PARTS = 256

# Keys of the generators, so that streams are independent.
(
    IDENTITY_STREAM,
    SAMPLE_STREAM,
    CAMERA_STREAM,
    BACKGROUND_STREAM,
    SCENE_STREAM,
    TRAIT_STREAM,
    ATTRIBUTE_STREAM,
) = range(7)


def generator(seed: int, stream: int, *keys: int) -> np.random.Generator:
    """Return the random generator of one stream, independent of all others."""
    return np.random.default_rng([seed, stream, *keys])


def between(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Draw a uniform number between two limits."""
    return float(rng.uniform(*limits))


def pick(rng: np.random.Generator, choices: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
    """Draw one of the choices."""
    if weights is None:
        return choices[int(rng.integers(len(choices)))]
    return choices[int(np.searchsorted(np.cumsum(weights) / np.sum(weights), rng.random(), side="right"))]


class Canvas:
    """Part map of `size` (height, width) with a margin; drawing is in figure units, y downwards.

    `place(scale, x, y)` sets the figure's origin and unit, in pixels of the finished image.
    """

    def __init__(self, size: tuple[int, int], margin: int) -> None:
        self.size, self.margin = size, margin
        height, width = (OVERSAMPLING * (side + 2 * margin) for side in size)
        self._image = Image.new("L", (width, height), 0)
        self._draw = ImageDraw.Draw(self._image)
        self.place(1.0, 0.0, 0.0)

    def place(self, scale: float, x: float, y: float, mirrored: bool = False) -> None:
        """Map figure point (0, 0) to pixel (x, y), with `scale` pixels per figure unit."""
        self._scale_y = OVERSAMPLING * scale
        self._scale_x = -self._scale_y if mirrored else self._scale_y
        self._x, self._y = OVERSAMPLING * (x + self.margin), OVERSAMPLING * (y + self.margin)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(self._x + self._scale_x * x, self._y + self._scale_y * y) for x, y in points]

    def polygon(self, points: Sequence[Point], part: int) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._pixels(points), fill=part)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, part: int) -> None:
        """Fill an ellipse."""
        (left, top), (right, bottom) = self._pixels([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
        self._draw.ellipse([min(left, right), min(top, bottom), max(left, right), max(top, bottom)], fill=part)

    def limb(self, start: Point, end: Point, start_width: float, end_width: float, part: int) -> None:
        """Fill a tapered limb with round ends; widths are half widths."""
        (x0, y0), (x1, y1) = start, end
        length = float(np.hypot(x1 - x0, y1 - y0)) or 1e-6
        nx, ny = (y0 - y1) / length, (x1 - x0) / length
        a, b = start_width, end_width
        self.polygon(
            [
                (x0 + nx * a, y0 + ny * a),
                (x1 + nx * b, y1 + ny * b),
                (x1 - nx * b, y1 - ny * b),
                (x0 - nx * a, y0 - ny * a),
            ],
            part,
        )
        self.ellipse(x0, y0, a, a, part)
        self.ellipse(x1, y1, b, b, part)

    def window(self, shift_x: int, shift_y: int) -> Image.Image:
        """Return the map shifted by some pixels, as a misaligned sensor sees it; still oversampled."""
        height, width = self.size
        left, top = self.margin + shift_x, self.margin + shift_y
        many = OVERSAMPLING
        return self._image.crop((many * left, many * top, many * (left + width), many * (top + height)))


def covered(window: Image.Image) -> Floats:
    """Return the fraction of each pixel that the figure covers: float32 (H, W), 0..1."""
    mask = window.point([0] + [255] * (PARTS - 1)).reduce(OVERSAMPLING)
    return np.asarray(mask, dtype=np.float32) / 255.0


def painted(window: Image.Image, table: Floats) -> Floats:
    """Render the figure in a sensor's values, black elsewhere.

    `table` is (256, channels) with one or three channels in 0..1; row 0, the background, must be zero.

    Returns:
        float32 (H, W, channels), 0..1.
    """
    levels = np.clip(np.rint(table * 255.0), 0, 255).astype(np.uint8)
    if table.shape[1] == 1:
        grey = window.point(levels[:, 0].tolist()).reduce(OVERSAMPLING)
        return np.asarray(grey, dtype=np.float32)[:, :, None] / 255.0
    colour = Image.merge("RGB", [window.point(levels[:, c].tolist()).reduce(OVERSAMPLING) for c in range(3)])
    return np.asarray(colour, dtype=np.float32) / 255.0
