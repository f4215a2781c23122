"""Distances between features, and which features are refused."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation.retrieval.distances import checked_features, normalised, unit_distances


def test_rows_get_length_one() -> None:
    """Each row is divided by its own length; a row of zeros stays zero."""
    found = normalised([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]])

    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, -1.0], [0.0, 0.0]])


def test_squared_distances_by_hand() -> None:
    """Equal, orthogonal and opposite unit features are 0, 2 and 4 apart."""
    found = unit_distances(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))

    np.testing.assert_allclose(found, [[0.0, 2.0, 4.0]])


def test_no_distance_is_negative() -> None:
    """Rounding leaves no distance of a feature to itself below zero, among two thousand."""
    rows = normalised(np.random.default_rng(0).standard_normal((2000, 64)))

    assert (unit_distances(rows, rows) >= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_finite_is_counted(bad: float, side: int) -> None:
    """NaN and either infinity, in one place of a row or in all of it, in queries or gallery: rows are counted."""
    features = [np.ones((4, 3)), np.ones((5, 3))]
    features[side][1, 2] = bad
    features[side][3] = bad

    name = ("query", "gallery")[side]
    with pytest.raises(InputError, match=f"2 of {4 + side} {name} features hold NaN or infinity"):
        checked_features(*features)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (2, 3, 4)])
def test_shapes(shape: tuple[int, ...]) -> None:
    """Features are (images, dim), and neither is 0."""
    with pytest.raises(InputError, match="gallery features have shape"):
        checked_features(np.ones((2, 3)), np.ones(shape))
