"""Common style of all figures, their export as PNG, and the optional packages that draw them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import SetupError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}
DPI = 150
#: Palette of Okabe and Ito, distinct for every kind of color vision; without its yellow, too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
#: Eight shapes against seven colors: 56 pairs before one repeats.
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Areas that make the shapes look equally large.
SIZES = {"*": 2.3, "P": 1.5, "X": 1.4, "^": 1.15, "v": 1.15, "D": 0.85, "s": 0.95}
INK, QUIET = "#1A1A1A", "#5A5A5A"

_STYLE: dict[Any, Any] = {
    # comes with matplotlib, so figures look the same on every machine
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


@contextmanager
def analysis() -> Iterator[None]:
    """Attribute import errors in the block to the extra `analysis`.

    Raises:
        SetupError: one of its packages is not installed; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name not in PACKAGES:
            raise
        raise SetupError(
            f'The pictures need {PACKAGES[name]}, which is not installed: pip install "mambapro[analysis]".'
        ) from error


def require_analysis() -> None:
    """Raise SetupError unless everything that draws is installed; to be called before the computing."""
    with analysis():
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401


def shortened(name: str, length: int = 34) -> str:
    """Cut a name to its last `length` characters, to fit over a picture."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def marker_of(number: int) -> tuple[str, str]:
    """Return (color, shape) of the n-th identity; both change from one to the next."""
    return COLORS[number % len(COLORS)], SHAPES[number % len(SHAPES)]


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of `width` x `height` inches, with the style inside the block only.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with analysis():
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def png_bytes(figure: Figure) -> bytes:
    """Encode the figure as PNG, inside `drawing`; equal figures give equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a position in inches from the figure's top left corner."""
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    return figure.add_axes(box)


def write(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Add text whose top left corner is at a position in inches from the figure's top left corner."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, **{"va": "top", "ha": "left", **style})
