"""The figures of a finished ablation."""

from __future__ import annotations

import json
import math

import pytest
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.paper.ablation.ablation_report import AblationReport, Step, summarise
from mambapro.train.paper.ablation.components import TABLE_3
from mambapro.train.paper.ablation.record import Record


def record(row: str, seed: int, precisions: tuple[float, ...]) -> Record:
    mean = sum(precisions) / len(precisions)
    return Record("f", row, seed, 1000, 60.0, mean, 0.5, 0.6, 0.7, 0.4, precisions)


@pytest.fixture
def report() -> AblationReport:
    """Row A once, rows C and F twice: C a little above A for half of the queries, F far above for all."""
    low, mixed, high = (0.1, 0.2) * 20, (0.0, 0.31) * 20, (0.8, 0.9) * 20
    records = [record("A", 1, low), record("C", 1, mixed), record("F", 1, high)]
    records += [record("C", 2, mixed), record("F", 2, tuple(value - 0.2 for value in high))]
    return summarise(TABLE_3, TABLE_3.pick("ACF"), records, load_recipe("tiny"), "rgbnt201")


class TestRows:
    def test_means(self, report: AblationReport) -> None:
        """A row's accuracies are means over its seeds in percent, its spread the standard deviation of mAP."""
        untrained, _, full = report.rows

        assert (untrained.map, untrained.spread, untrained.seeds) == (pytest.approx(15.0), None, ())
        assert (full.map, full.spread) == (pytest.approx(75.0), pytest.approx(20 / math.sqrt(2)))
        assert (full.rank1, full.rank5, full.rank10, full.seconds) == pytest.approx((50, 60, 70, 60))

    def test_interval(self, report: AblationReport) -> None:
        """The interval is that of the seeds' mean over the queries: +-1.96 standard errors, roughly."""
        low, high = report.rows[2].interval

        # 40 queries at 70 and 80 percent
        error = 1.96 * 5 / math.sqrt(40)
        assert (low, high) == pytest.approx((75 - error, 75 + error), abs=0.4)


class TestSteps:
    def test_difference(self, report: AblationReport) -> None:
        """Every pair of rows is compared over the same queries, beside the paper's difference."""
        step = report.steps[1]

        assert [(s.first, s.second) for s in report.steps] == [("A", "C"), ("A", "F"), ("C", "F")]
        assert (step.difference, step.paper) == (pytest.approx(60.0), pytest.approx(75.6))
        # 60 for each query
        assert (step.low, step.high) == pytest.approx((60, 60))

    @pytest.mark.parametrize(
        ("difference", "low", "high", "paper", "verdict"),
        (
            (2.0, 1.0, 3.0, 5.0, "as the paper"),
            (2.0, -1.0, 3.0, 5.0, "as the paper, not sure"),
            (-2.0, -3.0, -1.0, 5.0, "other way round"),
            (-2.0, -3.0, 1.0, 5.0, "other way round, not sure"),
            (2.0, 1.0, 3.0, None, "-"),
        ),
    )
    def test_verdict(self, difference: float, low: float, high: float, paper: float | None, verdict: str) -> None:
        """The sign is the paper's or not, and sure where the interval leaves zero out."""
        assert Step("A", "B", difference, low, high, paper).verdict == verdict


class TestText:
    def test_table(self, report: AblationReport) -> None:
        """The text holds ours and the paper's figures in one line for each row."""
        line = next(line for line in str(report).splitlines() if line.startswith("F "))

        assert line.split()[-5:] == ["78.9", "83.4", "89.8", "91.9", "74.20"]
        assert "1,2  75.0    14.1" in line

    def test_json(self, report: AblationReport) -> None:
        """The JSON is plain, with each step's verdict."""
        values = json.loads(report.json_text())

        assert [step["verdict"] for step in values["steps"]] == [step.verdict for step in report.steps]
        assert values["rows"][0]["spread"] is None
