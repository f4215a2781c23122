"""Figures of the ranking and of the curve, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...common.figures import COLORS, INK, QUIET, drawing, place, png_bytes, shortened, write
from ...runtime.bundle.module_roles import MAMBAPRO, ModuleRoles
from .pareto import Pareto
from .ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IN_PART, OTHER, CHOSEN, BEATEN = COLORS[0], COLORS[2], COLORS[1], "#AAAAAA"
#: Bars that are drawn; what follows is small.
BARS = 30
_ROW, _LABELS, _WIDE = 0.19, 3.25, 4.2
#: Longest name beside a bar.
_LETTERS = 50
#: 1 - cosine of a point without loss, on an axis of powers.
_NOTHING = 1e-9


def ranking_picture(ranking: Ranking, roles: ModuleRoles = MAMBAPRO) -> bytes:
    """Draw as PNG for each group a bar for the median of 1 - cosine, a stroke for its mean, a dot for the largest.

    Groups inside a part of the model (`ModuleRoles.parts`) have another color than those outside.

    Raises:
        SetupError: matplotlib is not installed.
    """
    shown = ranking.entries[:BARS]
    high = _ROW * len(shown)
    with drawing(_LABELS + _WIDE + 0.4, high + 1.35) as figure:
        write(figure, 0.1, 0.1, f"What a {ranking.grouping} costs alone in int8", weight="bold", size=10)
        rest = len(ranking.entries) - len(shown)
        note = f"{ranking.samples} samples; bar: median, stroke: mean, dot: largest" + (
            f"; {rest} more cost less" if rest else ""
        )
        write(figure, 0.1, 0.3, note, size=8, color=QUIET)
        axes = place(figure, _LABELS, 0.6, _WIDE, high)
        rows = range(len(shown))
        losses = [entry.loss for entry in shown]
        colors = [IN_PART if roles.part_of(entry.name) else OTHER for entry in shown]
        axes.barh(rows, [max(loss.median, _NOTHING) for loss in losses], color=colors, height=0.7)
        axes.plot([max(loss.mean, _NOTHING) for loss in losses], rows, "|", color=INK, markersize=8)
        axes.plot([max(loss.largest, _NOTHING) for loss in losses], rows, "o", color=INK, markersize=2.5)
        axes.set_xscale("log")
        axes.set_yticks(rows, [shortened(entry.name, _LETTERS) for entry in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel("1 - cosine to the float model", size=8)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        return png_bytes(figure)


def pareto_picture(pareto: Pareto) -> bytes:
    """Draw as PNG 1 - cosine, and the drop of mAP if measured, against milliseconds; limits and choice are marked.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with_map = pareto.map is not None
    with drawing(8.3 if with_map else 4.4, 3.4) as figure:
        title = f"Accuracy against time: {pareto.target}, batch {pareto.batch}"
        write(figure, 0.1, 0.1, title, weight="bold", size=10)
        note = "numbers: groups given back to floating point; orange: the choice"
        write(figure, 0.1, 0.3, note, size=8, color=QUIET)
        axes = place(figure, 0.75, 0.65, 3.3, 2.2)
        # the model in floating point loses nothing, which has no place on an axis of powers
        losses = [point.loss.largest or None for point in pareto.points]
        _draw(axes, pareto, losses, pareto.limits.departure)
        axes.set_yscale("log")
        axes.set_ylabel("largest 1 - cosine", size=8)
        if with_map:
            axes = place(figure, 4.75, 0.65, 3.3, 2.2)
            drops = [None if p.loss.map_drop is None else 100 * p.loss.map_drop for p in pareto.points]
            _draw(axes, pareto, drops, 100 * pareto.limits.map_drop)
            axes.set_ylabel("mAP lost, points", size=8)
        return png_bytes(figure)


def _draw(axes: Axes, pareto: Pareto, heights: Sequence[float | None], limit: float) -> None:
    """Draw points, the front through those that none beats, the limit, and the time of the model in floating point."""
    drawn = [(point, height) for point, height in zip(pareto.points, heights, strict=True) if height is not None]
    front = sorted((point.milliseconds, height) for point, height in drawn if point.front)
    axes.plot([time for time, _ in front], [height for _, height in front], color=IN_PART, linewidth=0.8, zorder=1)
    for point, height in drawn:
        chosen = point is pareto.choice
        color = CHOSEN if chosen else IN_PART if point.front else BEATEN
        axes.scatter([point.milliseconds], [height], s=42 if chosen else 20, color=color, zorder=2)
        where = (point.milliseconds, height)
        axes.annotate(str(len(point.floats)), where, (3, 4), textcoords="offset points", size=7, color=QUIET)
    axes.axhline(limit, color=CHOSEN, linewidth=0.8, linestyle=(0, (4, 2)))
    floating = pareto.points[-1].milliseconds
    axes.axvline(floating, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    at = axes.get_xaxis_transform()
    axes.annotate("all in float", (floating, 0.62), (-9, 0), at, "offset points", rotation=90, size=7, color=QUIET)
    axes.set_xlabel("milliseconds", size=8)
    axes.grid(color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
