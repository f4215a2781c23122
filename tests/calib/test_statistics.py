"""Range, histogram and maxima of a tensor over batches, and taken up again from a file."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.calib.statistics import Tensor, TensorStatistics
from mambapro.errors import ArtifactError
from mambapro.graph.layers import MATMUL, Point
from mambapro.graph.smooth import Norm

LINEAR = Point("n1", "part.linear", "h", "W", MATMUL, 1)
NORM = Norm("part.norm", "gamma", "beta", "h", (LINEAR,))


def statistics_of(*batches: np.ndarray, stacked: bool = False, norm: Norm | None = None) -> TensorStatistics:
    """Statistics that saw the batches, one after the other."""
    statistics = TensorStatistics(Tensor("h", ("part.linear",), stacked, None, norm, 8))
    for batch in batches:
        statistics.update(batch.astype(np.float32))
    return statistics


def test_the_range_is_of_all_batches() -> None:
    """Smallest and largest value may come from different batches, and neither from the last one."""
    found = statistics_of(np.array([-7.0, 1.0]), np.array([-1.0, 5.0]), np.array([0.5, 0.25])).observed()

    assert (found.low, found.high, found.absmax) == (-7.0, 5.0, 7.0)


def test_negative_values_fill_the_histogram() -> None:
    """The histogram reaches to the largest magnitude, also where that is a negative value's."""
    found = statistics_of(np.array([-8.0, 1.0, 1.0, 1.0]))

    assert found.histogram.limit == 8.0
    assert found.histogram.counts[-1] == 1 and found.histogram.counts[2048 // 8] == 3


def test_channels_are_maxima_over_batches_and_tokens() -> None:
    """(batch, token, channel): of each channel the largest magnitude of any token of any batch."""
    first = np.array([[[1.0, -2.0, 3.0], [-4.0, 0.0, 1.0]]])
    second = np.array([[[0.0, 5.0, -1.0], [1.0, 1.0, 1.0]]])

    found = statistics_of(first, second, norm=NORM).observed()

    assert found.channels == (4.0, 5.0, 3.0)


def test_sensors_are_thirds_of_the_first_axis() -> None:
    """Three sensors of two samples, one sensor after the other, over two batches."""
    first = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [-4.0, 1.0], [5.0, 1.0], [1.0, -6.0]])
    second = np.array([[9.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])

    found = statistics_of(first, second, stacked=True).observed()

    assert found.modalities == {"rgb": 9.0, "nir": 4.0, "tir": 6.0}


def test_taken_up_again() -> None:
    """Statistics from a file go on as if nothing had been in between; a range that was doubled keeps its limit."""
    batches = [np.array([0.5, -1.0]), np.array([3.0, 0.1]), np.array([-2.5, 0.7])]
    whole = statistics_of(*batches, norm=NORM)

    part = statistics_of(*batches[:2], norm=NORM)
    again = statistics_of(norm=NORM)
    again.load(part.arrays())
    again.update(batches[2].astype(np.float32))

    assert again.histogram.limit == 4.0
    assert again.observed() == whole.observed()


def test_constant() -> None:
    """One value only, or nothing above the smallest that counts, is constant; two values are not."""
    assert statistics_of(np.array([2.0, 2.0])).constant
    assert statistics_of(np.array([1e-31, 0.0])).constant
    assert not statistics_of(np.array([2.0, 2.5])).constant
    assert not statistics_of(np.array([-2.0, 2.0])).constant


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad: float) -> None:
    """NaN and either infinity name the layer."""
    with pytest.raises(ArtifactError, match=r"input of part\.linear holds NaN or infinity"):
        statistics_of(np.array([1.0, bad]))
