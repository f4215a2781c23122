"""Pictures of the ranking and of the curve, as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...train.explain.look import COLOURS, INK, QUIET, drawing, place, png_bytes, shortened, write
from .pareto import Pareto, Point
from .ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKBONE, OTHER, CHOSEN = COLOURS[0], COLOURS[2], COLOURS[1]
#: Bars that are drawn; what follows is small.
BARS = 30
_ROW, _LABELS, _WIDE = 0.19, 2.75, 4.2
#: Longest name beside a bar.
_LETTERS = 40
#: 1 - cosine of a point without loss, on an axis of powers.
_NOTHING = 1e-9


def ranking_picture(ranking: Ranking) -> bytes:
    """PNG: a bar for the mean 1 - cosine of each group, with its standard error, and a dot for the largest.

    Raises:
        SetupError: matplotlib is not installed.
    """
    shown = ranking.entries[:BARS]
    high = _ROW * len(shown)
    with drawing(_LABELS + _WIDE + 0.4, high + 1.35) as figure:
        write(figure, 0.1, 0.1, f"What a {ranking.grouping} costs alone in int8", weight="bold", size=10)
        rest = len(ranking.entries) - len(shown)
        note = f"{ranking.samples} samples; bar: mean, dot: largest" + (f"; {rest} more cost less" if rest else "")
        write(figure, 0.1, 0.3, note, size=8, color=QUIET)
        axes = place(figure, _LABELS, 0.6, _WIDE, high)
        rows = range(len(shown))
        means = [max(entry.loss.mean, _NOTHING) for entry in shown]
        colours = [BACKBONE if entry.name.startswith("backbone") else OTHER for entry in shown]
        errors = [min(entry.loss.error, 0.9 * mean) for entry, mean in zip(shown, means, strict=True)]
        axes.barh(rows, means, xerr=errors, color=colours, height=0.7, error_kw={"ecolor": INK, "elinewidth": 0.8})
        axes.plot([max(entry.loss.largest, _NOTHING) for entry in shown], rows, "o", color=INK, markersize=2.5)
        axes.set_xscale("log")
        axes.set_yticks(rows, [shortened(entry.name, _LETTERS) for entry in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel("1 - cosine to the float model", size=8)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        return png_bytes(figure)


def pareto_picture(pareto: Pareto) -> bytes:
    """PNG: 1 - cosine, and the drop of mAP where there is one, against milliseconds; limits and the choice marked.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with_map = pareto.map is not None
    with drawing(8.2 if with_map else 4.6, 3.5) as figure:
        title = f"Accuracy against time: {pareto.target}, batch {pareto.batch}"
        write(figure, 0.1, 0.1, title, weight="bold", size=10)
        note = "numbers: groups given back to floating point; the rest is in int8"
        write(figure, 0.1, 0.3, note, size=8, color=QUIET)
        axes = place(figure, 0.75, 0.75, 3.3, 2.2)
        _draw(axes, pareto, [max(point.loss.largest, _NOTHING) for point in pareto.points], pareto.limits.departure)
        axes.set_yscale("log")
        axes.set_ylabel("largest 1 - cosine", size=8)
        if with_map:
            axes = place(figure, 4.75, 0.75, 3.3, 2.2)
            drops = [100 * (point.loss.map_drop or 0.0) for point in pareto.points]
            _draw(axes, pareto, drops, 100 * pareto.limits.map_drop)
            axes.set_ylabel("mAP lost, points", size=8)
        return png_bytes(figure)


def _draw(axes: Axes, pareto: Pareto, heights: list[float], limit: float) -> None:
    times = [point.milliseconds for point in pareto.points]
    axes.plot(times, heights, color=QUIET, linewidth=0.8, zorder=1)
    for number, (point, time, height) in enumerate(zip(pareto.points, times, heights, strict=True)):
        colour = _colour(pareto, number, point)
        axes.scatter([time], [height], s=42 if number == pareto.chosen else 20, color=colour, zorder=2)
        axes.annotate(str(len(point.floats)), (time, height), (3, 4), textcoords="offset points", size=7, color=QUIET)
    axes.axhline(limit, color=CHOSEN, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_xlabel("milliseconds", size=8)
    axes.grid(color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)


def _colour(pareto: Pareto, number: int, point: Point) -> str:
    if number == pareto.chosen:
        return CHOSEN
    return BACKBONE if point.front else "#AAAAAA"
