"""The paper's tables as data."""

from __future__ import annotations

import pytest
from mambapro.errors import InputError
from mambapro.train.models.mambapro.sizes import config_of_size
from mambapro.train.paper.ablation.table_rows import Figures, Row, Table
from mambapro.train.paper.ablation.tables import TABLES, table_named

ALL = [(table, row) for table in TABLES.values() for row in table.rows]


def paper(table: str, row: str) -> Figures:
    return next(r.paper for r in TABLES[table].rows if r.key == row)


def accuracy(table: str, row: str) -> tuple[float | None, ...]:
    figures = paper(table, row)
    return figures.map, figures.rank1, figures.rank5, figures.rank10


@pytest.mark.parametrize(("table", "row"), ALL, ids=lambda value: value.key)
def test_every_row_is_a_model(table: Table, row: Row) -> None:
    """Every row is a full-size model that can be built."""
    config = config_of_size("vit_b16_imagenet" if row.backbone == "vit" else "vit_b16", **row.fields)

    assert config.backbone == row.backbone


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.key)
def test_rows_differ(table: Table) -> None:
    """No two rows of a table have one key, or are the same training."""
    assert len({row.key.lower() for row in table.rows}) == len(table.rows)
    trainings = [(row.backbone, row.frozen, row.trained, *sorted(row.fields.items())) for row in table.rows]
    assert len(set(trainings)) == len(trainings)


def test_the_paper_repeats_itself() -> None:
    """Rows that are one model have one accuracy in all tables they stand in."""
    assert accuracy("3", "C") == accuracy("5", "PFA") == accuracy("8", "beside-FFN")
    assert accuracy("3", "D") == accuracy("4", "SRP-fusion")
    assert accuracy("3", "F") == accuracy("6", "MA") == accuracy("9", "CLIP-L") == accuracy("11", "MA-Mamba")
    assert accuracy("3", "G") == accuracy("9", "CLIP-F") == accuracy("10", "MambaPro")
    assert accuracy("3", "F")[:2] == accuracy("7", "MambaPro")[:2]


@pytest.mark.parametrize("table", ("3", "12"))
def test_parameters_add_up(table: str) -> None:
    """The paper's parameters are sums of those of the parts."""
    params = {row.key: row.paper.params or 0 for row in TABLES[table].rows}

    assert params["E"] == pytest.approx(params["C"] + params["D"])
    assert params["G"] == pytest.approx(params["B"] + params["F"])


@pytest.mark.parametrize(("table", "row"), ALL, ids=lambda value: value.key)
def test_ranks_rise(table: Table, row: Row) -> None:
    """Accuracies are percent, and a higher rank is no less accurate."""
    ranks = [value for value in (row.paper.rank1, row.paper.rank5, row.paper.rank10) if value is not None]

    assert ranks == sorted(ranks)
    assert all(0 < value < 100 for value in [*ranks, *([row.paper.map] if row.paper.map else [])])


@pytest.mark.parametrize(("name", "key"), (("3", "3"), ("table3", "3"), ("Table 12", "12"), ("Figure 8a", "fig8a")))
def test_names(name: str, key: str) -> None:
    """A table is found by its number, with or without the word before it."""
    assert table_named(name).key == key


def test_unknown_table() -> None:
    """A table that is none raises InputError with all there are."""
    with pytest.raises(InputError, match=r"3, 4, .* fig9d, par-backbones, .* Did you mean fig8"):
        table_named("fig8")


def test_pick() -> None:
    """Rows are picked by key, whatever the case and order; none is all; another one raises InputError."""
    table = TABLES["3"]

    assert [row.key for row in table.pick(["f", "A"])] == ["A", "F"]
    assert table.pick([]) == table.rows
    with pytest.raises(InputError, match="no row 'H'"):
        table.pick(["A", "H"])
