"""The look that all pictures share: fonts, colours, and a figure as PNG; matplotlib without its global state."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .drawing_packages import analysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
#: Okabe and Ito's palette, told apart by every kind of colour vision; without its yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
#: Eight shapes against seven colours: 56 pairs before one comes again.
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Areas that make the shapes look equally large.
SIZES = {"*": 2.3, "P": 1.5, "X": 1.4, "^": 1.15, "v": 1.15, "D": 0.85, "s": 0.95}
INK, QUIET = "#1A1A1A", "#5A5A5A"

_STYLE: dict[Any, Any] = {
    # matplotlib brings this font along, so pictures look the same everywhere
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def shortened(name: str, length: int = 34) -> str:
    """A name that fits over a picture: its end, which tells more than its start."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def marker_of(number: int) -> tuple[str, str]:
    """(colour, shape) of the how-manieth identity; both change from one to the next."""
    return COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of `width` x `height` inches; the style holds inside the block only.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with analysis():
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG; call it inside `drawing`. The same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches, counted from the figure's top left corner."""
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    return figure.add_axes(box)


def write(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Text at a place in inches, counted from the figure's top left corner; `top` is the text's top."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, **{"va": "top", "ha": "left", **style})
