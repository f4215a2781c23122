"""HTML page of a bundle, from the templates in pages/."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common import html_pages
from ...common.tables import points
from ...runtime.data.readers.benchmarks import benchmarks_of
from ...runtime.evaluation.gates.agreement import agreement_of
from ...runtime.evaluation.latency import END_TO_END
from ...runtime.evaluation.retrieval.report import PART, percent
from .bundle_report import BundleReport
from .measure import ROUNDS
from .precision_map import INT8, Cell, PrecisionMap
from .readiness import REFERENCE, map_limit
from .task_views import VIEWS

#: Exponents of the ends of the logarithmic axis; below the first is the noise of float64.
_DECADES = (-14.0, 0.0)


@dataclass
class Grid:
    """Blocks of one part of the network: cells by block and part; `parts` are the columns."""

    name: str
    parts: list[str]
    rows: dict[str, dict[str, Cell]]


@dataclass
class SharedMap:
    """Precision map of the files `names`, which are equal in it; `is_open` without a click."""

    names: list[str]
    map: PrecisionMap
    grids: list[Grid]
    is_open: bool = False


def page_of(report: BundleReport, strips: Sequence[Any] = ()) -> str:
    """Render the page as HTML; everything is inside it.

    Raises:
        InputError: its pictures are too large even as JPEG.
    """
    return html_pages.page_text(
        Path(__file__).parent / "pages",
        "Draw fewer retrievals with --strips-count.",
        title=f"{report.bundle}: mambapro report",
        report=report,
        strips=strips,
        drawn_by=next((file.name for file in report.files if file.measured.accuracy is not None), ""),
        maps=_shared_maps(report),
        reasons=_reasons(report),
        points=points,
        percent=percent,
        decade=_decade,
        map_limit=map_limit,
        END_TO_END=END_TO_END,
        PART=PART,
        REFERENCE=REFERENCE,
        ROUNDS=ROUNDS,
        BENCHMARKS=benchmarks_of(report.metadata.task),
        view=VIEWS[report.metadata.task],
        metric=report.metric,
        distance=agreement_of(report.metadata).name,
    )


def _reasons(report: BundleReport) -> list[tuple[str, str]]:
    """Return (file or "" if repeated, reason) why files are not ready, and why they did not run; none is dropped."""
    pairs: list[tuple[str, str]] = []
    for file in report.files:
        # those of the choice are part of the answer
        reasons = [] if file is report.choice else list(file.verdict.reasons)
        reasons += [f"does not run here: {file.measured.not_run}"] if file.measured.not_run else []
        pairs += [("" if i else file.name, reason) for i, reason in enumerate(reasons)]
    return pairs


def _shared_maps(report: BundleReport) -> list[SharedMap]:
    """Return maps of all files, equal ones once; those of the choice and those in int8 are open."""
    maps: dict[tuple[Cell, ...], SharedMap] = {}
    for file in report.files:
        shared = maps.setdefault(file.map.cells, SharedMap([], file.map, _grids(file.map.cells)))
        shared.names.append(file.name)
        shared.is_open |= file is report.choice or INT8 in shared.map.shares()
    return list(maps.values())


def _grids(cells: Sequence[Cell]) -> list[Grid]:
    """Return cells by the first word of their block; those of no block come last."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.block.split(".")[0], []).append(cell)
    return [_grid(name, groups[name]) for name in sorted(groups, key=lambda name: not name)]


def _grid(name: str, cells: Sequence[Cell]) -> Grid:
    rows: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.block, {})[cell.part] = cell
    # in the order of the block that has most parts: the first block often lacks some
    fullest = max(rows.values(), key=len)
    return Grid(name, list(dict.fromkeys([*fullest, *(cell.part for cell in cells)])), rows)


def _decade(value: float) -> float:
    """Return the position of a value on the logarithmic axis, 0 to 1."""
    low, high = _DECADES
    exponent = math.log10(value) if value > 0 else low
    return min(max((exponent - low) / (high - low), 0.004), 1.0) if math.isfinite(exponent) else 1.0
