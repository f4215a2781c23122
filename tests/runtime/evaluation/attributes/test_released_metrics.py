"""Metrics against recorded values of the released code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.evaluation.attributes.attribute_metrics import evaluate_attributes
from mambapro.runtime.evaluation.attributes.label_table import label_rows

RECORDED = np.load(Path(__file__).parents[3] / "golden" / "attributes" / "metrics.npz")
NAMES = tuple(f"label {i}" for i in range(RECORDED["targets"].shape[1]))


@pytest.mark.parametrize(("threshold", "recorded"), [(0.45, "values"), (0.5, "values_050")])
def test_released_values(threshold: float, recorded: str) -> None:
    """mA, accuracy, precision, recall and F1 of logits at the released threshold, and at 0.5."""
    labels = Labels(NAMES, thresholds=(threshold,) * len(NAMES))

    values = evaluate_attributes(RECORDED["targets"], labels.assign(RECORDED["logits"])).values

    names = ("mA", "accuracy", "precision", "recall", "F1")
    np.testing.assert_allclose([values[name] for name in names], RECORDED[recorded], rtol=0, atol=1e-12)
    if threshold == 0.45:
        assert values["F1 of means"] == pytest.approx(float(RECORDED["f1_of_means"]), abs=1e-12)


def test_each_label() -> None:
    """The mA of each label, whose mean is the mA."""
    labels = Labels(NAMES, thresholds=(0.45,) * len(NAMES))
    report = evaluate_attributes(RECORDED["targets"], labels.assign(RECORDED["logits"]))

    rows = label_rows(report, labels)

    np.testing.assert_allclose([row.ma for row in rows], RECORDED["label_ma"], rtol=0, atol=1e-12)
