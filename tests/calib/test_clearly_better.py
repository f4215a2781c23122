"""MSE unless another algorithm, or smoothing, is clearly better: by a tenth of its error."""

from __future__ import annotations

import math

import pytest
from mambapro.calib.threshold_selection import _best


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ({"mse": 1.0, "minmax": 0.899, "entropy": 2.0}, "minmax"),
        ({"mse": 1.0, "minmax": 0.901, "entropy": 2.0}, "mse"),
        ({"mse": 1.0, "minmax": 0.9, "entropy": 0.95}, "mse"),
        ({"mse": 1.0, "minmax": 0.5, "entropy": 0.4}, "entropy"),
        ({"mse": 0.4, "minmax": 0.5, "entropy": 1.0}, "mse"),
        ({"mse": 0.0, "minmax": 0.0}, "mse"),
        ({"minmax": 0.5, "entropy": 0.499}, "entropy"),
        ({"percentile": 3.0}, "percentile"),
    ],
)
def test_the_best_algorithm(errors: dict[str, float], best: str) -> None:
    """A tenth less error than MSE's is needed, and exactly a tenth is not enough; without MSE the least error wins."""
    assert _best(errors) == best
    assert _best(dict(reversed(errors.items()))) == best


def test_an_error_that_is_no_number_is_never_better() -> None:
    """NaN of another algorithm does not win over MSE."""
    assert _best({"mse": 1.0, "minmax": math.nan}) == "mse"
