"""Attribute metrics against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation.attributes.attribute_metrics import (
    attribute_differences,
    attribute_intervals,
    evaluate_attributes,
)

#: Labels of four samples: two positives of the first, three of the second.
TRUTH = np.array([[1, 1], [1, 0], [0, 1], [0, 1]])
#: Assigned: 1 of 2 positives and 1 of 2 negatives of the first are right; 2 of 3 and 0 of 1 of the second.
ASSIGNED = np.array([[1, 1], [0, 1], [1, 1], [0, 0]], bool)


def test_values_by_hand() -> None:
    """mA, accuracy, precision, recall, mean F1 and F1 of the means of two labels and four samples."""
    values = evaluate_attributes(TRUTH, ASSIGNED).values

    # recalls of positives and negatives: (1/2, 1/2) and (2/3, 0/1)
    assert values["mA"] == pytest.approx(((1 / 2 + 1 / 2) / 2 + (2 / 3 + 0) / 2) / 2)
    # by sample: both right; one wrong, one missed; one of two right; one missed, none assigned
    assert values["accuracy"] == pytest.approx((1 + 0 + 1 / 2 + 0) / 4)
    assert values["precision"] == pytest.approx((1 + 0 + 1 / 2 + 0) / 4)
    assert values["recall"] == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert values["F1"] == pytest.approx((1 + 0 + 2 / 3 + 0) / 4)
    assert values["F1 of means"] == pytest.approx(2 * 0.375 * 0.5 / 0.875)


def test_perfect_and_inverted() -> None:
    """The truth itself has 1 everywhere, its opposite 0."""
    perfect, inverted = (evaluate_attributes(TRUTH, labels).values for labels in (TRUTH == 1, TRUTH == 0))

    assert set(perfect.values()) == {1.0} and set(inverted.values()) == {0.0}


def test_only_zero_and_one_are_judged() -> None:
    """A label that is neither counts in no value, whatever was assigned; an empty denominator gives 0."""
    truth = np.array([[1, 2], [0, -1]])

    first, second = (evaluate_attributes(truth, np.array([[1, x], [0, x]], bool)).values for x in (0, 1))

    assert first == second
    # the second label has no samples: recalls 0; the second sample has no labels: 0
    assert (first["mA"], first["F1"], first["precision"]) == (0.5, 0.5, 0.5)


def test_differences_are_paired() -> None:
    """A report minus itself is exactly 0 in every resample; a worse one is below, its ends around the difference."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (200, 5))
    report = evaluate_attributes(truth, truth == 1)
    worse = evaluate_attributes(truth, (truth == 1) ^ (rng.random(truth.shape) < 0.1))

    same = attribute_differences(report, report)
    lost = {item.name: item for item in attribute_differences(report, worse)}

    assert {(item.difference, item.low, item.high) for item in same} == {(0.0, 0.0, 0.0)}
    assert all(item.low < item.difference < item.high < 0 for item in lost.values())
    assert lost["mA"].difference == pytest.approx(-0.1, abs=0.02)
    assert lost["F1"].second == worse.values["F1"] and lost["F1"].not_better == 1


def test_resamples_are_drawn_at_least_once() -> None:
    """InputError without a resample."""
    report = evaluate_attributes(TRUTH, ASSIGNED)

    with pytest.raises(InputError, match="at least 1 resample"):
        attribute_differences(report, report, resamples=0)


def test_draws_without_a_positive_sample() -> None:
    """A label that a draw has no positive sample of keeps its recall: the truth itself has mA 1 in every draw."""
    truth = np.zeros((50, 2), int)
    truth[0, 0] = truth[1, 1] = 1
    perfect = attribute_intervals(evaluate_attributes(truth, truth == 1), 200)["mA"]
    never = attribute_intervals(evaluate_attributes(truth, np.zeros_like(truth, bool)), 200)["mA"]

    assert (perfect.low, perfect.high) == (1, 1)
    # recalls of 0 and 1 in every draw
    assert (never.low, never.high) == (0.5, 0.5)
