"""Tables 3 and 12: combinations of parts, with CLIP frozen or trained."""

from __future__ import annotations

from typing import Any

from .table_rows import Figures, Row, Table


def switches(prompt: bool = False, adapter: bool = False, mamba: bool = False) -> dict[str, Any]:
    """Return the config fields that switch parts on: SRP, PFA, MA."""
    return {"prompt": prompt, "adapter": adapter, "mamba": mamba}


_ALL = switches(prompt=True, adapter=True, mamba=True)


def _components(figures: dict[str, Figures]) -> tuple[Row, ...]:
    """Return the rows of the seven models; `figures` by letter."""
    return (
        # Nothing is trained, so there is no camera table either.
        Row("A", "CLIP locked", {**switches(), "sie_camera": False}, figures["A"], trained=False),
        Row("B", "CLIP trained", switches(), figures["B"], frozen=False),
        Row("C", "CLIP locked, PFA", switches(adapter=True), figures["C"]),
        Row("D", "CLIP locked, SRP", switches(prompt=True), figures["D"]),
        Row("E", "CLIP locked, PFA, SRP", switches(prompt=True, adapter=True), figures["E"]),
        Row("F", "CLIP locked, PFA, SRP, MA", _ALL, figures["F"]),
        Row("G", "CLIP trained, PFA, SRP, MA", _ALL, figures["G"], frozen=False),
    )


def _figures(mean: float, rank1: float, rank5: float, rank10: float, memory: float, params: float) -> Figures:
    """Return a row's figures in the order of the paper's columns."""
    return Figures(mean, rank1, rank5, rank10, params, memory=memory)


TABLE_3 = Table(
    "3",
    "Table 3, key components",
    "rgbnt201",
    _components(
        {
            "A": _figures(3.3, 2.8, 7.4, 11.1, 12.79, 0),
            "B": _figures(69.4, 71.5, 81.8, 87.4, 16.85, 86.14),
            "C": _figures(73.2, 76.4, 85.2, 88.2, 15.96, 28.34),
            "D": _figures(71.3, 74.5, 83.4, 87.9, 13.82, 28.48),
            "E": _figures(74.4, 77.6, 87.4, 90.3, 17.79, 56.82),
            "F": _figures(78.9, 83.4, 89.8, 91.9, 20.89, 74.20),
            "G": _figures(78.7, 83.5, 89.6, 92.9, 25.22, 160.34),
        }
    ),
    "trained",
)

TABLE_12 = Table(
    "12",
    "Table 12, key components on vehicles",
    "rgbnt100",
    _components(
        {
            "A": _figures(17.9, 40.9, 50.5, 56.0, 21.79, 0),
            "B": _figures(80.7, 93.5, 96.2, 96.7, 28.73, 86.14),
            "C": _figures(81.6, 93.9, 95.0, 95.6, 28.21, 28.34),
            "D": _figures(79.1, 92.9, 94.2, 94.9, 24.65, 28.48),
            "E": _figures(82.0, 94.0, 95.3, 95.8, 32.05, 56.82),
            "F": _figures(83.9, 94.7, 94.9, 95.3, 38.01, 74.20),
            "G": _figures(83.1, 94.1, 94.9, 95.6, 45.36, 160.34),
        }
    ),
    "trained",
)
