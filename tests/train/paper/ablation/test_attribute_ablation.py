"""Comparisons of attribute models: rows from recipes, runs, results, and summaries by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_people
from attribute_runs import SMALL
from mambapro.errors import InputError
from mambapro.runtime.evaluation.attributes.attribute_metrics import evaluate_attributes
from mambapro.train.attributes.evaluate_attributes import evaluate_attribute_checkpoint
from mambapro.train.engine.recipes import recipe_names
from mambapro.train.models.checkpoints.weights import load_checkpoint
from mambapro.train.paper.ablation.ablation_task import ablate_table
from mambapro.train.paper.ablation.attribute_ablation_report import summarize_attributes
from mambapro.train.paper.ablation.attribute_runs import AttributeResult
from mambapro.train.paper.ablation.attribute_tables import ATTRIBUTE_TABLES, AttributeRow
from mambapro.train.paper.ablation.stored_runs import read_result
from mambapro.train.paper.ablation.tables import table_named


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The minute data set."""
    return toy_people.draw(tmp_path_factory.mktemp("people") / "data")


def values(people: Path, out: Path, **more: Any) -> dict[str, Any]:
    """Options of one epoch of the smallest models."""
    changes = (*SMALL, "solver.epochs=1")
    given = {"table": "par-hybrids", "data": people, "out": out, "dataset": "attributes", "size": "mini"}
    return {**given, "rows": ("vit_b", "kdtm"), "changes": changes, "device": "cpu", **more}


def metric_of(out: Path, run: str) -> str:
    """The metric that chose a run's best epoch."""
    (best,) = (out / "runs").glob(f"{run}-seed1-*/best.pth")
    return str(load_checkpoint(best).trained_on["config"]["metric"])


def test_every_row_has_its_recipes() -> None:
    """Each row's recipe is there in both sizes, and rows are compared with rows of their table."""
    for table in ATTRIBUTE_TABLES.values():
        names = {row.recipe for row in table.rows}
        assert {*names, *(f"mini_{name}" for name in names)} <= set(recipe_names())
        assert {row.against for row in table.rows} - {None} <= names


def test_rows_and_teachers(people: Path, tmp_path: Path) -> None:
    """A teacher is trained before its student, which copies it; the values are those of the checkpoints; a second call
    trains nothing, and a table of the same folder shares the runs. The teacher is the epoch with the best F1, the row
    of the same recipe that with the best mA."""
    out = tmp_path / "out"

    report: Any = ablate_table(values(people, out))
    times = {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    again: Any = ablate_table(values(people, out))
    shared: Any = ablate_table(values(people, out, table="par-backbones", rows=("vit_b",)))

    assert [row.recipe for row in report.rows] == ["vit_b", "kdtm"] and report.samples == 32
    metrics = {name: metric_of(out, name) for name in ("vit_b_teacher", "vit_b", "kdtm")}
    assert metrics == {"vit_b_teacher": "F1", "vit_b": "mA", "kdtm": "mA"}
    assert again == report and shared.rows[0] == report.rows[0]
    assert times == {path: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    (best,) = (out / "runs").glob("kdtm-seed1-*/best.pth")
    measured = evaluate_attribute_checkpoint(best, people, "attributes", device="cpu").report.values
    assert report.rows[1].values == pytest.approx({name: 100 * value for name, value in measured.items()})
    assert {(step.first, step.second, step.value) for step in report.steps} == {
        ("vit_b", "kdtm", "mA"),
        ("vit_b", "kdtm", "F1"),
    }
    assert report.majority["mA"] == 50 and "majority of each attribute" in str(report)
    stored = json.loads((out / "par-hybrids.json").read_text())
    assert stored["rows"][1]["recipe"] == "kdtm" and "| kdtm |" in (out / "par-hybrids.md").read_text()
    with pytest.raises(InputError, match=r"results of another recipe, .*vit_b-seed1.json.*--overwrite"):
        ablate_table(values(people, out, changes=(*SMALL, "solver.epochs=2")))


def test_refusals(people: Path, tmp_path: Path) -> None:
    """Before anything is trained: no data set, other sizes, rows and options, sources without effect, none of public
    weights for full-size models, a benchmark of another task."""
    for more, words in (
        ({"dataset": None}, "say with --dataset"),
        ({"size": "tiny"}, "full or mini"),
        ({"rows": ("mahdt",)}, "Did you mean mahdft"),
        ({"clip": "x"}, "--clip is for re-identification; this is for attributes"),
        ({"sources": {"vmamba": Path("x")}}, "--vmamba has no effect on any of vit_b, kdtm"),
        ({"size": "full", "changes": ()}, "starts from public weights: give --vit"),
        ({"dataset": "rgbnt201"}, "is a benchmark for re-identification"),
    ):
        with pytest.raises(InputError, match=words):
            ablate_table(values(people, tmp_path / "out", **more))
    with pytest.raises(InputError, match=r"^--vim, --label-tokens is for attributes; this is for re-identification"):
        ablate_table({"table": "3", "sources": {"vim": Path("x"), "label_tokens": Path("y")}})
    assert not (tmp_path / "out").exists()
    with pytest.raises(
        InputError, match=r"there are .*fig9d, par-backbones, par-fusion, par-hybrids\. Did you mean par-f"
    ):
        table_named("par-fusio")


def result(decisions: np.ndarray, seconds: float = 1.0) -> AttributeResult:
    """A stored result of decisions."""
    rows = np.packbits(decisions.astype(bool), axis=1)
    return AttributeResult("f", 7, seconds, tuple(row.tobytes().hex() for row in rows))


def test_summary_by_hand() -> None:
    """Means and spreads over two seeds; a difference is that of the means, and 0 with a point for an interval where
    the rows decide the same."""
    truth = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]] * 5)
    perfect, inverted = truth == 1, truth == 0
    rows = (AttributeRow("a", "first"), AttributeRow("b", "second", "a"), AttributeRow("c", "third", "b"))
    results = {
        "a": {1: result(perfect), 2: result(inverted, 3.0)},
        "b": {1: result(perfect), 2: result(perfect)},
        "c": {1: result(perfect), 2: result(perfect)},
    }

    found, steps, majority = summarize_attributes(rows, results, truth)

    assert found[0].values["mA"] == 50 and found[0].spreads["mA"] == pytest.approx(100 / 2**0.5)
    assert found[0].seconds == 2 and found[0].trainable == 7 and found[1].values["mA"] == 100
    first, second = (step for step in steps if step.value == "mA")
    assert (first.difference, first.low, first.high) == (50, 50, 50)
    assert (second.difference, second.low, second.high) == (0, 0, 0)
    assert majority["mA"] == 50


def test_decisions_are_stored_exactly(tmp_path: Path) -> None:
    """Bits of any number of labels come back, and give the same report."""
    rng = np.random.default_rng(0)
    decisions, truth = rng.random((9, 11)) < 0.5, rng.integers(0, 3, (9, 11))

    found = result(decisions).decisions(11)

    np.testing.assert_array_equal(found, decisions)
    assert evaluate_attributes(truth, found).values == evaluate_attributes(truth, decisions).values
    (tmp_path / "x.json").write_text('{"version": 2}')
    with pytest.raises(Exception, match="no result of this version"):
        read_result(AttributeResult, tmp_path / "x.json")
