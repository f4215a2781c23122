"""Expected calibration error, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.runtime.evaluation.attributes.calibration_error import calibration_errors


def test_by_hand() -> None:
    """Two bins: |0.2 - 1/2| of two samples and |0.9 - 1| of one; the other label is off by 0.4 in one bin."""
    truth = np.array([[0, 1], [1, 1], [1, 1]])
    probabilities = np.array([[0.1, 0.6], [0.3, 0.6], [0.9, 0.6]])

    found = calibration_errors(truth, probabilities, bins=2)

    first, second = 2 / 3 * 0.3 + 1 / 3 * 0.1, 0.4
    np.testing.assert_allclose(found.by_label, [first, second])
    # pooled, the upper bin has 0.9, 0.6, 0.6, 0.6 and four positives
    assert found.all_labels == pytest.approx(2 / 6 * 0.3 + 4 / 6 * (1 - 2.7 / 4))


def test_errors_of_opposite_sign_in_one_bin_cancel() -> None:
    """Within a bin only the means count; 0 and 1 lie in the first and the last one."""
    truth, probabilities = np.array([[0], [1], [0], [1]]), np.array([[0.5], [0.5], [0.0], [1.0]])

    assert calibration_errors(truth, probabilities).all_labels == 0


def test_only_judged_pairs_count() -> None:
    """A 2 counts nowhere; a label without any judged sample has none."""
    truth, probabilities = np.array([[1, 2], [2, 2]]), np.array([[0.75, 0.5], [0.1, 0.5]])

    found = calibration_errors(truth, probabilities)

    assert found.all_labels == found.by_label[0] == 0.25 and np.isnan(found.by_label[1])


def test_calibrated_labels() -> None:
    """Labels that are drawn with their probabilities are nearly calibrated; those of twice the logit are not."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    truth = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)

    good, bad = (calibration_errors(truth, 1 / (1 + np.exp(-factor * logits))).all_labels for factor in (1, 2))

    assert good < 0.01 < 0.08 < bad
