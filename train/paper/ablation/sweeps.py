"""Figures 8 and 9: sweeps of one number at a time.

The paper draws curves without printing their values, and names the best point of each: state 16, N_pr 4, all layers,
and 79.5 % mAP for four MA blocks. It does not state which parts figure 9 a to c have; as the curve of PFA lies above
that of SRP just as rows C and D of table 3 do, they are assumed to be CLIP with that part alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .components import switches
from .table_rows import Figures, Row, Table

_WHOLE = switches(prompt=True, adapter=True, mamba=True)


def _sweep(
    key: str, title: str, field: str, values: Sequence[int], base: dict[str, Any], printed: dict[int, Figures]
) -> Table:
    """Build one row for each value of a field."""
    rows = tuple(
        Row(str(value), f"{field} {value}", {**base, field: value}, printed.get(value, Figures())) for value in values
    )
    return Table(key, title, "rgbnt201", rows)


def _depths(key: str, title: str, field: str, base: dict[str, Any]) -> Table:
    """Build one row for each first layer; the last is always 12."""
    rows = tuple(Row(f"{first}-12", f"layers {first} to 12", {**base, field: first}) for first in (9, 6, 3, 1))
    return Table(key, title, "rgbnt201", rows)


FIGURE_8A = _sweep("fig8a", "Figure 8 a, state of the scan", "state", (4, 8, 16, 32), _WHOLE, {})
FIGURE_8B = _sweep("fig8b", "Figure 8 b, rank of the step", "dt_rank", (8, 16, 32, 48, 64), _WHOLE, {})
FIGURE_9A = _sweep("fig9a", "Figure 9 a, prompt length", "prompt_tokens", (1, 2, 4, 6, 8), switches(prompt=True), {})
FIGURE_9B = _depths("fig9b", "Figure 9 b, layers with SRP", "prompt_first_layer", switches(prompt=True))
FIGURE_9C = _depths("fig9c", "Figure 9 c, layers with PFA", "adapter_first_layer", switches(adapter=True))
FIGURE_9D = _sweep("fig9d", "Figure 9 d, MA blocks", "aggregation_depth", (1, 2, 3, 4), _WHOLE, {4: Figures(map=79.5)})
