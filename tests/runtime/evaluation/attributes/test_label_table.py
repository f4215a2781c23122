"""Accuracy of each label, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.evaluation.attributes.attribute_metrics import evaluate_attributes, majority_report
from mambapro.runtime.evaluation.attributes.label_table import label_rows, label_table, undefined_labels

LABELS = Labels(("hat", "bag", "boots"), thresholds=(0.45, 0.3, 0.45))
TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 2, 0]])
ASSIGNED = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 0]], bool)


def test_by_hand() -> None:
    """Counts, precision, recall, F1 and mA of labels, one of them without a positive and one not judged once."""
    hat, bag, boots = label_rows(evaluate_attributes(TRUTH, ASSIGNED), LABELS, np.array([0.1, 0.2, np.nan]))

    assert (hat.positives, hat.negatives, hat.not_judged, hat.threshold) == (2, 3, 0, 0.45)
    assert (hat.precision, hat.recall, hat.f1) == (1 / 2, 1 / 2, 1 / 2)
    assert hat.ma == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (bag.positives, bag.negatives, bag.not_judged, bag.threshold) == (2, 2, 1, 0.3)
    assert (bag.precision, bag.recall) == (pytest.approx(2 / 3), 1)
    assert bag.f1 == pytest.approx(0.8) and bag.ma == 0.75
    assert (boots.recall, boots.ma, boots.precision, boots.f1) == (None, None, 0, 0)
    assert (hat.calibration_error, boots.calibration_error) == (0.1, None)


def test_undefined_is_told() -> None:
    """The label without a positive is named, with the rule of the mean and the mean without it."""
    report = evaluate_attributes(TRUTH, ASSIGNED)

    first, rule = undefined_labels(label_rows(report, LABELS))

    assert first == "without a positive sample: boots"
    defined = ((1 / 2 + 2 / 3) / 2 + 0.75) / 2
    assert f"counts as 0, as released; over the other 2 labels it is {100 * defined:.2f} %" in rule
    # (boots: 4 of 5 negatives, recall of positives 0)
    assert report.values["mA"] == pytest.approx((2 * defined + 0.5 * 0.8) / 3)


def test_nothing_undefined() -> None:
    """Nothing is said where every label has both."""
    labels = Labels(("hat", "bag"))

    assert undefined_labels(label_rows(evaluate_attributes(TRUTH[:, :2], ASSIGNED[:, :2]), labels)) == []


def test_table() -> None:
    """The column of samples that are not judged is there where some are; undefined values are dashes."""
    report = evaluate_attributes(TRUTH, ASSIGNED)

    table = label_table(label_rows(report, LABELS))
    complete = label_table(label_rows(evaluate_attributes(TRUTH[:, :1], ASSIGNED[:, :1]), Labels(("hat",))))

    assert table.splitlines()[3].split() == ["boots", "0.45", "0", "5", "0", "0.00", "%", "-", "0.00", "%", "-", "-"]
    assert "not judged" in table and "not judged" not in complete
    # without thresholds it is 0.5
    assert complete.splitlines()[1].split()[:4] == ["hat", "0.5", "2", "3"]


def test_majority() -> None:
    """The constant answer: no hat, and no bag since as many have one as have none; its mA is one half of each label."""
    report = majority_report(TRUTH[:, :2])

    assert report.values["mA"] == 0.5
    # the three samples without any label that they have, and those with labels, all get none
    assert report.values["F1"] == report.values["recall"] == 0.0
    most = majority_report(np.array([[1, 0], [1, 1], [0, 0]]))
    assert most.values["recall"] == pytest.approx((1 + 1 / 2 + 0) / 3)
