"""The similarity picture: for each stage and pair of modalities two distributions of cosines (figure 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .look import COLOURS, INK, QUIET, drawing, place, png_bytes, write
from .similarity import PairSimilarity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME, DIFFERENT = COLOURS[0], COLOURS[1]
_WIDE, _HIGH, _GAP, _LINE, _LEFT, _TOP, _FOOT = 2.75, 1.75, 0.3, 0.62, 0.2, 0.55, 0.42
_BINS = 60


def plot_similarity(stages: Mapping[str, Sequence[PairSimilarity]], title: str) -> bytes:
    """PNG with a row for each stage and a column for each pair of modalities; all share one axis of cosines.

    Raises:
        SetupError: matplotlib is not installed.
    """
    everything = np.concatenate([np.concatenate((p.same, p.different)) for pairs in stages.values() for p in pairs])
    low, high = max(-1.0, everything.min() - 0.02), min(1.0, everything.max() + 0.02)
    bins = np.linspace(low, high, _BINS + 1)
    width = _LEFT + 3 * _WIDE + 2 * _GAP + 0.2
    with drawing(width, _TOP + len(stages) * (_LINE + _HIGH) + _FOOT + 0.1) as figure:
        write(figure, _LEFT, 0.1, title, weight="bold", size=10)
        _draw_key(place(figure, width - 4.2, 0.08, 4.0, 0.22))
        for row, (stage, pairs) in enumerate(stages.items()):
            top = _TOP + row * (_LINE + _HIGH)
            for column, pair in enumerate(pairs):
                left = _LEFT + column * (_WIDE + _GAP)
                write(figure, left, top, f"{stage}: {pair.first.upper()} and {pair.second.upper()}", weight="bold")
                numbers = f"means {pair.same.mean():.2f} and {pair.different.mean():.2f}, AUC {pair.auc:.3f}"
                write(figure, left, top + 0.19, numbers, size=8, color=QUIET)
                axes = place(figure, left, top + 0.45, _WIDE, _HIGH)
                _draw_distributions(axes, pair, bins)
                if row == len(stages) - 1:
                    axes.set_xlabel("cosine similarity", size=8)
        return png_bytes(figure)


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
