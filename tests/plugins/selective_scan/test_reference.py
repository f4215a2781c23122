"""The definition in NumPy: against recorded outputs, and its gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.plugins.selective_scan import reference
from mambapro.plugins.selective_scan.schema import INPUTS
from scan_cases import GOLDENS, Case, golden, inputs, output_gradient


@pytest.mark.parametrize("case", GOLDENS, ids=str)
def test_recorded_outputs(case: Case) -> None:
    """The definition returns the recorded float64 output within 1e-11 of its largest value."""
    arrays, y = golden(case.kind)

    assert np.abs(reference.selective_scan(**arrays) - y).max() <= 1e-11 * np.abs(y).max()


@pytest.mark.parametrize("case", [Case(2, 5, 6, 3, 2), Case(1, 4, 4, 1, 3, "huge-steps")], ids=str)
@pytest.mark.parametrize("name", INPUTS)
def test_gradients_are_slopes(case: Case, name: str) -> None:
    """Each gradient, along a random direction, is the central difference of the definition."""
    arrays, dy = inputs(case), output_gradient(case)
    direction = np.random.default_rng(2).standard_normal(arrays[name].shape)
    step = 1e-6

    slope = reference.selective_scan_backward(dy, **arrays)[name]

    ends = [reference.selective_scan(**{**arrays, name: arrays[name] + s * direction}) for s in (step, -step)]
    difference = ((ends[0] - ends[1]) * dy).sum() / (2 * step)
    assert (slope * direction).sum() == pytest.approx(difference, rel=1e-6, abs=1e-7)
