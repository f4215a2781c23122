"""Pictures of heat maps of attributes: each attribute in one image, and several attributes of each of some images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....common.figures import COLORS, QUIET, drawing, place, png_bytes, shortened, write
from ....runtime.data.sample import Sample
from .plot_gradcam import draw_scale, overlay, scaled_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Longer side of an image, inches; pairs of an image and its map in a row.
_LONG, _PAIRS = 1.6, 4
_EDGE, _HEAD, _FOOT, _GAP, _PAIR_GAP, _LINE = 0.1, 0.42, 0.62, 0.04, 0.22, 0.36
_EVIDENCE = "evidence for the attribute"


@dataclass(frozen=True)
class AttributeMap:
    """Map of one attribute in one image.

    Attributes:
        attribute: its name.
        probability: that the model gives it.
        truth: 1 = the person has it, 0 = not, others = not judged.
        assigned: the model assigns it.
        weights: float32 (rows, columns), at least 0.
    """

    attribute: str
    probability: float
    truth: int
    assigned: bool
    weights: np.ndarray

    @property
    def verdict(self) -> str:
        """Right, wrong, or not judged."""
        if self.truth not in (0, 1):
            return "not judged"
        return "right" if self.assigned == bool(self.truth) else "wrong"


@dataclass(frozen=True)
class MappedImage:
    """One sample, its image uint8 (H, W, 3), and maps of attributes in it."""

    sample: Sample
    image: np.ndarray
    maps: tuple[AttributeMap, ...]


def plot_attributes(images: Sequence[MappedImage], title: str) -> bytes:
    """Render the first map of each image beside it, in rows of four pairs, as PNG; at least one image.

    Raises:
        SetupError: matplotlib is not installed.
    """
    height, width = _cell(images[0])
    pair = 2 * width + _GAP
    rows = -(-len(images) // _PAIRS)
    total = 2 * _EDGE + _PAIRS * pair + (_PAIRS - 1) * _PAIR_GAP
    with drawing(total, _HEAD + rows * (height + _LINE + 0.08) + _FOOT) as figure:
        write(figure, _EDGE, 0.08, title, weight="bold", size=10)
        for number, one in enumerate(images):
            left = _EDGE + (number % _PAIRS) * (pair + _PAIR_GAP)
            top = _HEAD + (number // _PAIRS) * (height + _LINE + 0.08)
            _write_map(figure, left, top, one.maps[0], one.sample.name)
            _show(figure, one.image, (left, top + _LINE), (height, width))
            _show(figure, _covered(one.image, one.maps[0]), (left + width + _GAP, top + _LINE), (height, width))
        draw_scale(figure, 3 * _EDGE, _EVIDENCE)
        return png_bytes(figure)


def plot_samples(images: Sequence[MappedImage], title: str) -> bytes:
    """Render each image with all its maps in a row, as PNG; at least one image.

    Raises:
        SetupError: matplotlib is not installed.
    """
    height, width = _cell(images[0])
    column = max(width, 1.15) + 0.1
    most = max(len(one.maps) for one in images)
    with drawing(2 * _EDGE + (most + 1) * column, _HEAD + len(images) * (height + _LINE + 0.08) + _FOOT) as figure:
        write(figure, _EDGE, 0.08, title, weight="bold", size=10)
        for number, one in enumerate(images):
            top = _HEAD + number * (height + _LINE + 0.08)
            write(figure, _EDGE, top + 0.16, shortened(one.sample.name, 20), size=6, color=QUIET)
            _show(figure, one.image, (_EDGE, top + _LINE), (height, width))
            for place_in_row, found in enumerate(one.maps, 1):
                left = _EDGE + place_in_row * column
                _write_map(figure, left, top, found)
                _show(figure, _covered(one.image, found), (left, top + _LINE), (height, width))
        draw_scale(figure, 3 * _EDGE, _EVIDENCE)
        return png_bytes(figure)


def _cell(one: MappedImage) -> tuple[float, float]:
    """Return (height, width) of an image in inches."""
    height, width = one.image.shape[:2]
    return _LONG * height / max(height, width), _LONG * width / max(height, width)


def _covered(image: np.ndarray, found: AttributeMap) -> np.ndarray:
    return overlay(image, scaled_map(found.weights, (image.shape[0], image.shape[1])))


def _write_map(figure: Figure, left: float, top: float, found: AttributeMap, note: str = "") -> None:
    """Write attribute, probability and verdict over a map."""
    color = COLORS[1] if found.verdict == "wrong" else QUIET
    write(figure, left, top, shortened(found.attribute, 26 if note else 16), size=8, weight="bold")
    empty = "" if found.weights.any() else ", empty"
    text = f"p {found.probability:.2f}, {found.verdict}{empty}"
    write(figure, left, top + 0.16, f"{text}   {shortened(note, 20)}" if note else text, size=6.5, color=color)


def _show(figure: Figure, image: np.ndarray, corner: tuple[float, float], size: tuple[float, float]) -> None:
    axes = place(figure, *corner, size[1], size[0])
    axes.imshow(image, aspect="auto", interpolation="lanczos")
    axes.set_axis_off()
