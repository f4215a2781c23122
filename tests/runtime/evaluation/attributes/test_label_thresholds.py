"""Tuned thresholds, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.evaluation.attributes.label_thresholds import tune_thresholds


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def tuned(truth: list[int], logits: list[float], objective: str = "F1", threshold: float = 0.45) -> float:
    """Tuned threshold of one label."""
    labels = Labels(("a",), thresholds=(threshold,))
    (found,) = tune_thresholds(np.array(truth)[:, None], np.array(logits)[:, None], labels, objective).thresholds
    return found


def test_between_two_outputs() -> None:
    """Perfect between -2 and -1, the middle is taken; in the order of the samples or in another."""
    assert tuned([0, 0, 1, 1], [-3, -2, -1, 4]) == pytest.approx(sigmoid(-1.5))
    assert tuned([1, 0, 1, 0], [4, -2, -1, -3]) == pytest.approx(sigmoid(-1.5))


def test_f1_and_ma_differ() -> None:
    """One positive above three negatives and one between them: F1 takes two of three, mA all with one mistake."""
    truth, logits = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0], [5, 4, 3, 2, 1, 0, -1, -2, -3, -4]

    # F1: below 2 it is 2 * 3 / (4 + 3) = 0.857, above 3 it is 2 * 2 / (2 + 3) = 0.8; mA: 1/2 (1 + 6/7), 1/2 (2/3 + 1)
    assert tuned(truth, logits, "F1", 0.99) == tuned(truth, logits, "mA", 0.99) == pytest.approx(sigmoid(1.5))
    # a negative more between: F1 2 * 3 / (5 + 3) = 0.75 and 0.8; mA 1/2 (1 + 5/7) = 0.857 and 0.833
    truth = [1, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    assert tuned(truth, logits, "F1", 0.99) == pytest.approx(sigmoid(3.5))
    assert tuned(truth, logits, "mA", 0.99) == pytest.approx(sigmoid(0.5))


def test_a_best_threshold_stays() -> None:
    """The given one is kept, digit for digit, where no other is better."""
    assert tuned([0, 0, 1, 1], [-3, -2, 1, 4]) == 0.45


def test_the_nearest_of_equally_good_ones() -> None:
    """Taking all, F1 is 2 * 2 / (4 + 2), and 2 * 1 / (1 + 2) of the last alone, which is nearer to the logit 4.6."""
    assert tuned([1, 0, 0, 1], [1, 2, 3, 4], threshold=0.99) == pytest.approx(sigmoid(3.5))


def test_labels_of_one_kind_stay() -> None:
    """Without a positive, without a negative, or without a judged sample nothing is tuned."""
    for truth in ([0, 0], [1, 1], [2, 2]):
        assert tuned(truth, [-3, 3], threshold=0.9) == 0.9


def test_samples_that_are_not_judged_do_not_count() -> None:
    """A 2 among the outputs changes neither the choice nor the middle."""
    assert tuned([0, 2, 2, 1], [-3, -2.9, -2, -1]) == pytest.approx(sigmoid(-2))


def test_equal_outputs_are_not_divided() -> None:
    """Samples with one output are assigned together; beyond all outputs the threshold is one logit away."""
    # F1 of taking all: 2 * 2 / (2 + 2 + 2); of the upper two: 2 * 1 / (2 + 2)
    assert tuned([0, 1, 1, 0], [1, 1, 2, 2], threshold=0.99) == pytest.approx(sigmoid(0))


def test_the_largest_outputs() -> None:
    """Thresholds stay between 0 and 1 where the sigmoid of every output is 0 or 1."""
    assert 0 < tuned([0, 1], [900, 1000]) < 1 and 0 < tuned([0, 1], [-1000, -900]) < 1


def test_thresholds_that_no_probability_expresses() -> None:
    """The best one that can be stored is taken: not between 40 and 50, where the sigmoid is 1, nor a worse one."""
    # F1: above 40 it would be 2 * 2 / (2 + 3) = 0.8, from 10 to 40 it is 4 / (6 + 3) = 0.44, below 10 6 / (7 + 3) = 0.6
    truth, logits = [1, 0, 0, 0, 0, 1, 1], [10, 40, 40, 40, 40, 50, 50]

    assert tuned(truth, logits) == 0.45
    # between -2 and 10 are the best: 6 / (7 + 3), all are 6 / (9 + 3)
    assert tuned([0, 0, *truth], [-3, -2, *logits], threshold=0.01) == pytest.approx(sigmoid(4))


def test_it_is_the_maximum() -> None:
    """No threshold of a fine grid gives a higher F1 or mA than the tuned one."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    logits = rng.normal(size=200) + truth
    grid = [*np.linspace(0.001, 0.999, 999), tuned(truth.tolist(), logits.tolist()), 0.45]

    def f1(threshold: float) -> float:
        assigned = 1 / (1 + np.exp(-logits)) > threshold
        return 2 * (assigned & (truth == 1)).sum() / (assigned.sum() + truth.sum())

    assert max(map(f1, grid)) == f1(grid[-2]) > f1(grid[-1])


def test_refusals() -> None:
    """Other values, and labels of which the largest is taken, are InputErrors."""
    with pytest.raises(InputError, match="F1 or mA, not 'accuracy'"):
        tuned([0, 1], [0, 1], "accuracy")
    with pytest.raises(InputError, match="no thresholds"):
        tune_thresholds(np.ones((1, 2)), np.ones((1, 2)), Labels(("a", "b"), "softmax"))


def test_thresholds_of_logits() -> None:
    """Without an activation the thresholds are logits."""
    found = tune_thresholds(np.array([[0], [1]]), np.array([[4.0], [6.0]]), Labels(("a",), "none"))

    assert found.thresholds == (5.0,)
