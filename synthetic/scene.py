"""Backdrops: one per camera or scene, larger than an image, seen by the three sensors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from . import settings
from .part_map import BACKGROUND_STREAM, Floats, between, generator

#: Size of backdrops relative to an image, so that images show different parts of the camera's view.
SPREAD = 1.35

_GROUND, _WALL, _SKY, _WINDOW, _LEAF, _TRUNK, _LINE, _KERB, _BOX, _DOOR = range(10)

Backdrop = tuple[Floats, Floats, Floats]


@lru_cache(maxsize=128)
def backdrop(seed: int, kind: int, number: int, size: tuple[int, int]) -> Backdrop:
    """Draw the surroundings at a camera or scene, SPREAD times `size`.

    Returns:
        three float32 arrays (h, w, 3 | 1 | 1), 0..1.
    """
    rng = generator(seed, BACKGROUND_STREAM, kind, number)
    height, width = (int(np.ceil(side * SPREAD)) for side in size)
    tables = _tables(rng)
    labels = _layout(rng, height, width, indoors=rng.random() < 0.25)
    blurred = labels.filter(ImageFilter.ModeFilter(3)) if height > 200 else labels
    index = np.asarray(blurred)
    texture = _texture(rng, height, width)
    rgb, nir, tir = (np.clip(table[index] * (1 + 0.18 * texture), 0, 1).astype(np.float32) for table in tables)
    return rgb, nir, tir


def _tables(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    rgb = np.zeros((10, 3), np.float32)
    rgb[_GROUND] = rng.uniform(0.3, 0.6) + rng.uniform(-0.12, 0.12, 3)
    rgb[_WALL] = rng.uniform(0.25, 0.8, 3) * 0.6 + rng.uniform(0.1, 0.3)
    rgb[_SKY] = np.array((0.55, 0.68, 0.85)) + rng.uniform(-0.12, 0.12)
    rgb[_WINDOW] = rng.uniform(0.1, 0.3, 3)
    rgb[_LEAF] = np.array((0.18, 0.38, 0.14)) + rng.uniform(-0.08, 0.12, 3)
    rgb[_TRUNK] = (0.28, 0.2, 0.14)
    rgb[_LINE] = 0.85
    rgb[_KERB] = rgb[_GROUND] * 1.25
    rgb[_BOX] = rng.uniform(0.1, 0.9, 3)
    rgb[_DOOR] = rng.uniform(0.1, 0.6, 3)
    nir = rng.uniform(0.15, 0.6, (10, 1)).astype(np.float32)
    # Leaves shine in the near infrared, and clear sky is cold.
    nir[_LEAF], nir[_SKY] = between(rng, (0.7, 0.9)), between(rng, (0.1, 0.3))
    tir = rng.uniform(0.18, 0.45, (10, 1)).astype(np.float32)
    tir[_SKY], tir[_LEAF] = between(rng, (0.02, 0.1)), between(rng, (0.15, 0.3))
    grey = rgb.mean(axis=1, keepdims=True)
    rgb = grey + settings.BACKDROP_COLOUR * (rgb - grey)
    return np.clip(rgb, 0, 1), nir, tir


def _layout(rng: np.random.Generator, height: int, width: int, indoors: bool) -> Image.Image:
    image = Image.new("L", (width, height), _WALL if indoors else _SKY)
    draw = ImageDraw.Draw(image)
    horizon = height * between(rng, (0.35, 0.6))
    if not indoors:
        _skyline(rng, draw, horizon, width, height)
    draw.rectangle([0, horizon, width, height], fill=_GROUND)
    _ground(rng, draw, horizon, width, height)
    if indoors:
        _windows(rng, draw, 0, width, height * 0.05, horizon * 0.85, height)
    for _ in range(int(rng.integers(0, 3))):
        x, size = rng.uniform(0, width), height * between(rng, (0.08, 0.2))
        draw.rectangle([x, horizon - size * 0.6, x + size, horizon + size * 0.4], fill=_BOX)
    return image


def _skyline(rng: np.random.Generator, draw: ImageDraw.ImageDraw, horizon: float, width: int, height: int) -> None:
    x = -width * between(rng, (0.0, 0.3))
    while x < width:
        right = x + width * between(rng, (0.3, 0.8))
        if rng.random() < 0.65:
            top = horizon * between(rng, (0.0, 0.5))
            draw.rectangle([x, top, right, horizon], fill=_WALL)
            _windows(rng, draw, x, right, top + 0.04 * height, horizon - 0.12 * height, height)
            door = x + (right - x) * between(rng, (0.2, 0.7))
            draw.rectangle([door, horizon - 0.14 * height, door + 0.07 * height, horizon], fill=_DOOR)
        else:
            _tree(rng, draw, (x + right) / 2, horizon, height)
        x = right + width * between(rng, (0.0, 0.1))


def _windows(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    left: float,
    right: float,
    top: float,
    bottom: float,
    height: int,
) -> None:
    step, size = height * between(rng, (0.11, 0.18)), height * between(rng, (0.05, 0.09))
    for y in np.arange(top, bottom - size, step):
        for x in np.arange(left + step * 0.3, right - size, step):
            draw.rectangle([x, y, x + size, y + size * 1.3], fill=_WINDOW)


def _tree(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, horizon: float, height: int) -> None:
    trunk = height * 0.018
    draw.rectangle([x - trunk, horizon * 0.4, x + trunk, horizon], fill=_TRUNK)
    for _ in range(7):
        cx, cy = x + rng.normal() * height * 0.06, horizon * 0.4 + rng.normal() * height * 0.06
        r = height * between(rng, (0.05, 0.1))
        draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=_LEAF)


def _ground(rng: np.random.Generator, draw: ImageDraw.ImageDraw, horizon: float, width: int, height: int) -> None:
    kerb = horizon + (height - horizon) * between(rng, (0.05, 0.25))
    draw.rectangle([0, kerb, width, kerb + height * 0.02], fill=_KERB)
    if rng.random() < 0.6:
        line = horizon + (height - horizon) * between(rng, (0.5, 0.9))
        dash = height * between(rng, (0.15, 0.3))
        for x in np.arange(-dash, width, 1.6 * dash):
            draw.polygon(
                [
                    (x, line),
                    (x + dash, line),
                    (x + dash * 0.95, line + height * 0.02),
                    (x - dash * 0.05, line + height * 0.02),
                ],
                fill=_LINE,
            )


def _texture(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Draw patches of several sizes around zero, float32 (h, w, 1)."""
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((5, 0.6), (14, 0.4), (40, 0.3)):
        patch = rng.standard_normal((cells, cells)).astype(np.float32)
        total += weight * np.asarray(Image.fromarray(patch).resize((width, height), Image.Resampling.BILINEAR))
    return total[:, :, None]
