"""The similarity picture: two distributions of cosines for each stage and pair of modalities (figure 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....common.figures import COLORS, INK, QUIET, drawing, place, png_bytes, write
from .similarity import PairSimilarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME, DIFFERENT = COLORS[0], COLORS[1]
_WIDE, _HIGH, _GAP, _LINE, _LEFT, _TOP, _FOOT = 2.75, 1.6, 0.3, 1.05, 0.08, 0.55, 0.1
_BINS = 42


def plot_similarity(stages: Mapping[str, Sequence[PairSimilarity]], title: str) -> bytes:
    """Render a PNG with a row for each stage and a column for each pair of modalities; rows share one axis.

    Raises:
        SetupError: matplotlib is not installed.
    """
    width = _LEFT + 3 * _WIDE + 2 * _GAP + 0.2
    with drawing(width, _TOP + len(stages) * (_LINE + _HIGH) + _FOOT + 0.1) as figure:
        write(figure, _LEFT, 0.1, title, weight="bold", size=10)
        _draw_key(place(figure, width - 4.2, 0.08, 4.0, 0.22))
        for row, (stage, pairs) in enumerate(stages.items()):
            top = _TOP + row * (_LINE + _HIGH)
            bins = shared_bins(pairs)
            for column, pair in enumerate(pairs):
                left = _LEFT + column * (_WIDE + _GAP)
                write(figure, left, top, f"{stage}: {pair.first.upper()} and {pair.second.upper()}", weight="bold")
                numbers = f"means {pair.same.mean():.3f} and {pair.different.mean():.3f}, AUC {pair.auc:.3f}"
                write(figure, left, top + 0.19, numbers, size=8, color=QUIET)
                axes = place(figure, left, top + 0.45, _WIDE, _HIGH)
                _draw_distributions(axes, pair, bins)
                axes.set_xlabel("cosine similarity", size=8)
        return png_bytes(figure)


def shared_bins(pairs: Sequence[PairSimilarity]) -> np.ndarray:
    """Return the edges of bins that cover every cosine of the pairs, also if all are nearly equal.

    Returns:
        float64 (bins + 1,), ascending.
    """
    everything = np.concatenate([values for pair in pairs for values in (pair.same, pair.different)])
    low, high = float(everything.min()), float(everything.max())
    edge = max(0.03 * (high - low), 1e-4)
    return np.linspace(low - edge, high + edge, _BINS + 1)


def _draw_distributions(axes: Axes, pair: PairSimilarity, bins: np.ndarray) -> None:
    for values, colour, dashes in ((pair.different, DIFFERENT, (0, (4, 2))), (pair.same, SAME, "-")):
        density, edges = np.histogram(values, bins=bins, density=True)
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.22, linewidth=0)
        axes.stairs(density, edges, color=colour, linewidth=1.4, linestyle=dashes)
        axes.axvline(float(values.mean()), color=colour, linewidth=1.0, linestyle=dashes, ymax=0.94)
    axes.set_xlim(bins[0], bins[-1])
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _draw_key(axes: Axes) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 4)
    axes.set_ylim(0, 1)
    for start, colour, dashes, text in ((0.55, SAME, "-", "same identity"), (2.2, DIFFERENT, (0, (4, 2)), "different")):
        axes.plot((start, start + 0.35), (0.5, 0.5), color=colour, linestyle=dashes, linewidth=1.6)
        axes.text(start + 0.45, 0.47, text, va="center", size=8, color=INK)
