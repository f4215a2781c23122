"""Values and operations of the rows of the paper's tables, in its units, next to its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ....common.records import Report
from ....common.tables import number, text_table
from ....errors import InputError
from ...models.mambapro.model_config import MambaProConfig
from ...models.mambapro.sizes import config_of_size
from ..ablation.table_rows import Row, Scope, Table
from .deviations import note
from .operations import operations
from .parameters import COUNTED, empty_model, trained_values

#: (values, operations) of a config; operations are None where the paper prints none.
Cost = tuple[int, int | None]

#: Meaning of the columns by scope.
SCOPES: dict[Scope, str] = {
    "trained": "values that are trained, without heads and camera table",
    "prompt": "one layer; operations of all three streams, its tokens' way through the layer included",
    "adapter": "one layer; operations of one stream",
    "aggregation": "one block with the reductions; operations of one sample",
}


@dataclass(frozen=True)
class CostRow:
    """Row of a table: millions of values and 10^9 operations, ours and the paper's; `note` explains a difference."""

    key: str
    title: str
    params: float
    paper_params: float | None
    gflops: float | None
    paper_gflops: float | None
    note: str


@dataclass(frozen=True)
class CostReport(Report):
    """Table of the paper with our figures."""

    table: str
    title: str
    size: str
    counts: str
    rows: tuple[CostRow, ...]

    def __str__(self) -> str:
        with_operations = any(row.gflops is not None for row in self.rows)
        heads = ["row", "", "M values", "paper"] + ["G operations", "paper"] * with_operations
        cells = []
        for row in self.rows:
            counted = [number(row.params, 2), number(row.paper_params, 2)]
            if with_operations:
                counted += [number(row.gflops, 2), number(row.paper_gflops, 2)]
            cells.append([row.key, row.title, *counted])
        notes = [
            f"{', '.join(row.key for row in self.rows if row.note == text)}: {text}"
            for text in dict.fromkeys(row.note for row in self.rows if row.note)
        ]
        return "\n".join([f"{self.title}, {self.size}", self.counts, text_table([heads, *cells], "<<>"), *notes])


def table_costs(table: Table, size: str = "vit_b16") -> CostReport:
    """Compute the columns of parameters and operations of a table, on models of a size.

    Raises:
        InputError: a table that prints neither; an unknown size.
    """
    if table.scope is None:
        raise InputError(f"{table.title} has no column of parameters or operations; tables 3 to 7 and 10 to 12 have.")
    rows = tuple(_row(table, row, size) for row in table.rows)
    return CostReport(table.key, table.title, size, f"M values: {SCOPES[table.scope]}", rows)


def _row(table: Table, row: Row, size: str) -> CostRow:
    assert table.scope is not None
    config = config_of_size(size, **row.fields)
    values, count = _COSTS[table.scope](config, row)
    return CostRow(
        key=row.key,
        title=row.title,
        params=values / 1e6,
        paper_params=row.paper.params,
        gflops=None if count is None else count / 1e9,
        paper_gflops=row.paper.gflops,
        note=note(table.key, row.key) if size == "vit_b16" else "",
    )


def _trained(config: MambaProConfig, row: Row) -> Cost:
    values = trained_values(empty_model(config), row.frozen)
    return (sum(values[part] for part in COUNTED) if row.trained else 0), None


def _prompt(config: MambaProConfig, row: Row) -> Cost:
    """Return the cost of the second layer's prompts: the first layer has no prompt from a previous one."""
    two, one = (replace(config, depth=depth) for depth in (2, 1))
    return _values(two, "prompt") - _values(one, "prompt"), _added(two, "prompt") - _added(one, "prompt")


def _adapter(config: MambaProConfig, row: Row) -> Cost:
    layer = replace(config, depth=1)
    return _values(layer, "adapter"), _added(layer, "adapter") // 3


def _aggregation(config: MambaProConfig, row: Row) -> Cost:
    # the previous layers do not change its cost
    block = replace(config, depth=1, aggregation_depth=1)
    return _values(block, "aggregation"), _added(block, "mamba")


_COSTS: dict[Scope, Callable[[MambaProConfig, Row], Cost]] = {
    "trained": _trained,
    "prompt": _prompt,
    "adapter": _adapter,
    "aggregation": _aggregation,
}


def _values(config: MambaProConfig, part: str) -> int:
    return trained_values(empty_model(config))[part]


def _added(config: MambaProConfig, switch: str) -> int:
    """Return the operations that a part adds to the whole model, including the layers' work on its extra tokens."""
    with_part = empty_model(config)
    fields: dict[str, Any] = {switch: False}
    without = empty_model(replace(config, **fields))
    return sum(operations(with_part).values()) - sum(operations(without).values())
