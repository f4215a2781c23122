"""The t-SNE picture: a panel for each checkpoint and stage, a color and shape for each identity (figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....common.figures import INK, QUIET, SIZES, drawing, marker_of, place, png_bytes, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL, _GAP, _HEAD, _EDGE = 3.3, 0.25, 0.62, 0.04
_KEY_WIDTH, _KEY_LINE = 0.82, 0.22
_EDGES: dict[str, Any] = {"linewidths": 0.4, "edgecolors": "white"}


@dataclass(frozen=True)
class Panel:
    """Scatter plot of `points` (N, 2), None if the stage is missing; `row` is the stage, `column` the checkpoint."""

    row: int
    column: int
    title: str
    note: str
    points: np.ndarray | None


def plot_embedding(panels: Sequence[Panel], labels: np.ndarray) -> bytes:
    """Render the panels as PNG; `labels` (N,) are the identities of the points of each.

    Raises:
        SetupError: matplotlib is not installed.
    """
    rows, columns = (1 + max(numbers) for numbers in zip(*((p.row, p.column) for p in panels), strict=True))
    width = 2 * _EDGE + columns * _PANEL + (columns - 1) * _GAP
    identities = np.unique(labels)
    per_line = max(1, int((width - 2 * _EDGE) // _KEY_WIDTH))
    lines = -(-len(identities) // per_line)
    key_top = rows * (_HEAD + _PANEL) + 0.15
    with drawing(width, key_top + 0.3 + lines * _KEY_LINE + _EDGE) as figure:
        for panel in panels:
            left, top = _EDGE + panel.column * (_PANEL + _GAP), panel.row * (_HEAD + _PANEL)
            write(figure, left, top + 0.2, panel.title, weight="bold", size=10)
            write(figure, left, top + 0.4, panel.note, size=8, color=QUIET)
            _draw_cloud(place(figure, left, top + _HEAD, _PANEL, _PANEL), panel, labels)
        write(figure, _EDGE, key_top, "identity", size=8, color=QUIET)
        key = place(figure, _EDGE, key_top + 0.2, per_line * _KEY_WIDTH, lines * _KEY_LINE)
        _draw_key(key, identities, per_line, lines)
        return png_bytes(figure)


def _draw_cloud(axes: Axes, panel: Panel, labels: np.ndarray) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
    if panel.points is None:
        axes.text(0.5, 0.5, "this checkpoint\nhas no such stage", ha="center", va="center", color=QUIET)
        axes.set_facecolor("#F3F3F3")
        return
    for number, identity in enumerate(np.unique(labels)):
        colour, shape = marker_of(number)
        x, y = panel.points[labels == identity].T
        axes.scatter(x, y, s=26 * SIZES.get(shape, 1.0), c=colour, marker=shape, alpha=0.9, **_EDGES)
    axes.margins(0.06)


def _draw_key(axes: Axes, identities: np.ndarray, per_line: int, lines: int) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, per_line)
    axes.set_ylim(lines, 0)
    for number, identity in enumerate(identities):
        colour, shape = marker_of(number)
        line, place_in_line = divmod(number, per_line)
        axes.scatter(place_in_line + 0.1, line + 0.5, s=30 * SIZES.get(shape, 1.0), c=colour, marker=shape, **_EDGES)
        axes.text(place_in_line + 0.24, line + 0.52, str(identity), va="center", size=8, color=INK)
