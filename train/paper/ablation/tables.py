"""All tables and figures of `mambapro ablate`, by name."""

from __future__ import annotations

from difflib import get_close_matches

from ....errors import InputError
from . import sweeps, variants
from .attribute_tables import ATTRIBUTE_TABLES
from .components import TABLE_3, TABLE_12
from .table_rows import Table

TABLES: dict[str, Table] = {
    table.key: table
    for table in (
        TABLE_3,
        variants.TABLE_4,
        variants.TABLE_5,
        variants.TABLE_6,
        variants.TABLE_7,
        variants.TABLE_8,
        variants.TABLE_9,
        variants.TABLE_10,
        variants.TABLE_11,
        TABLE_12,
        sweeps.FIGURE_8A,
        sweeps.FIGURE_8B,
        sweeps.FIGURE_9A,
        sweeps.FIGURE_9B,
        sweeps.FIGURE_9C,
        sweeps.FIGURE_9D,
    )
}


def table_named(name: str) -> Table:
    """Return the table of a name: "3", "table3", "fig8a".

    Raises:
        InputError: no such table; the message lists all.
    """
    key = name.lower().replace(" ", "").replace("figure", "fig").removeprefix("table")
    if key in TABLES:
        return TABLES[key]
    known = (*TABLES, *ATTRIBUTE_TABLES)
    near = get_close_matches(key, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(f"There is no ablation {name!r}; there are {', '.join(known)}.{hint}")
