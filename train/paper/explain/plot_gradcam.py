"""The Grad-CAM picture: a row for each sample, each modality's image next to its map (figures 10, 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....common.figures import QUIET, analysis, drawing, place, png_bytes, write
from ....runtime.data.modalities import MODALITIES
from ....runtime.data.preprocess import load_sources, resize
from ....runtime.data.sample import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Longer side of an image, inches.
_LONG = 1.8
_LABEL, _HEAD, _FOOT, _GAP, _PAIR_GAP, _LINE = 1.2, 0.4, 0.62, 0.05, 0.2, 0.24
#: Width of the colour bar, inches.
_SCALE = 2.0
#: Opacity of the map's maximum; 0 is transparent.
_COVER = 0.72


@dataclass(frozen=True)
class GradCamRow:
    """One sample: `images` uint8 (3, H, W, 3), `maps` float32 (3, rows, columns) at least 0, `parts` (3,) floats.

    `parts` are the modalities' contributions to the margin: cosine to the own identity less mean cosine to the others.
    """

    sample: Sample
    images: np.ndarray
    maps: np.ndarray
    parts: tuple[float, float, float]


def shown_images(sample: Sample, size: tuple[int, int]) -> np.ndarray:
    """Load the three original images at one size (height, width).

    Returns:
        uint8 (3, H, W, 3).

    Raises:
        InputError: an image that cannot be read.
    """
    return np.stack([np.asarray(resize(image, size, "bicubic")) for image in load_sources(sample.sources)])


def scaled_map(weights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize weights of patches (rows, columns) bilinearly and scale them to a maximum of 1.

    Returns:
        float32 (H, W), 0 to 1; all 0 if the weights are.
    """
    from PIL import Image

    largest = float(weights.max())
    if largest <= 0:
        return np.zeros(size, dtype=np.float32)
    image = Image.fromarray((weights / largest).astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR)).clip(0, 1)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend a map (H, W) from 0 to 1 over a gray copy of the image uint8 (H, W, 3), more opaque for larger values.

    Returns:
        uint8 (H, W, 3).
    """
    with analysis():
        from matplotlib import colormaps
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2) / 255
    colour = colormaps["inferno"](0.15 + 0.85 * heat)[..., :3]
    cover = _COVER * heat[..., None] ** 0.75
    return np.rint(255 * ((1 - cover) * grey + cover * colour)).astype(np.uint8)


def signed(value: float) -> str:
    """Format a small number with its sign: two decimals, four where two would show zero."""
    return f"{value:+.2f}" if abs(value) >= 0.01 else f"{value:+.4f}"


def plot_gradcam(rows: Sequence[GradCamRow], title: str) -> bytes:
    """Render some samples, at least one, as PNG.

    Raises:
        SetupError: matplotlib is not installed.
    """
    height, width = rows[0].images.shape[1:3]
    cell = (_LONG * height / max(height, width), _LONG * width / max(height, width))
    pair = 2 * cell[1] + _GAP
    total = _LABEL + 3 * pair + 2 * _PAIR_GAP + 0.1
    with drawing(total, _HEAD + len(rows) * (cell[0] + _LINE) + _FOOT) as figure:
        write(figure, 0.02, 0.08, title, weight="bold", size=10)
        for number, name in enumerate(MODALITIES):
            left = _LABEL + number * (pair + _PAIR_GAP)
            write(figure, left, _HEAD + 0.07, name.upper(), size=8, color=QUIET)
        for number, row in enumerate(rows):
            _draw_row(figure, row, _HEAD + number * (cell[0] + _LINE), cell)
        draw_scale(figure, _LABEL, "evidence for the identity")
        return png_bytes(figure)


def _draw_row(figure: Figure, row: GradCamRow, top: float, cell: tuple[float, float]) -> None:
    height, width = cell
    write(figure, 0.02, top + _LINE, f"identity {row.sample.identity}", size=8)
    write(figure, 0.02, top + _LINE + 0.16, row.sample.name, size=6, color=QUIET)
    write(figure, 0.02, top + _LINE + 0.34, f"margin {signed(sum(row.parts))}", size=8, weight="bold")
    for number in range(len(MODALITIES)):
        left = _LABEL + number * (2 * width + _GAP + _PAIR_GAP)
        heat = scaled_map(row.maps[number], (row.images.shape[1], row.images.shape[2]))
        text = signed(row.parts[number]) + ("" if heat.any() else ", empty")
        write(figure, left + width + _GAP, top + 0.07, text, size=8)
        for column, picture in enumerate((row.images[number], overlay(row.images[number], heat))):
            axes = place(figure, left + column * (width + _GAP), top + _LINE, width, height)
            axes.imshow(picture, aspect="auto", interpolation="lanczos")
            axes.set_axis_off()


def draw_scale(figure: Figure, left: float, text: str) -> None:
    """Draw a color bar at the foot, with the colors of the maps over a medium gray; `text` says what they are."""
    grey = np.full((8, 256, 3), 128, dtype=np.uint8)
    heat = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (8, 1))
    top = float(figure.get_size_inches()[1]) - 0.42
    axes = place(figure, left, top, _SCALE, 0.12)
    axes.imshow(overlay(grey, heat), aspect="auto", extent=(0, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([0, 1], ["none", "largest"])
    axes.tick_params(length=0, labelsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    write(figure, left + _SCALE + 0.15, top - 0.01, text, size=8, color=QUIET)
