"""Histograms that grow, and the four ways to a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.calib.histogram import BINS, AbsHistogram
from mambapro.calib.thresholds import ALGORITHMS, ENTROPY, MINMAX, MSE, PERCENTILE, threshold
from mambapro.errors import InputError


def histogram_of(*parts: np.ndarray) -> AbsHistogram:
    """Parts added one after the other."""
    histogram = AbsHistogram()
    for part in parts:
        magnitudes = np.abs(part.astype(np.float32))
        histogram.add(magnitudes, float(magnitudes.max()))
    return histogram


@pytest.fixture
def outlier() -> np.ndarray:
    """A normal distribution with one value far out, as activations have them."""
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    values[17] = 100.0
    return values


class TestHistogram:
    def test_the_range_doubles(self) -> None:
        """A larger value doubles the range as often as needed; nothing that was counted is lost or misplaced."""
        histogram = histogram_of(np.linspace(0, 1, 5000), np.array([5.0]), np.array([0.3]))

        assert histogram.limit == 8.0 and histogram.total == 5002
        expected, _ = np.histogram(np.append(np.linspace(0, 1, 5000), [5.0, 0.3]), BINS, (0, 8.0))
        assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 2

    def test_zeros_first(self) -> None:
        """Batches of zeros before the first value are counted, in the first bin."""
        histogram = histogram_of(np.zeros(10), np.array([0.0, 2.0]))

        assert histogram.limit == 2.0 and histogram.counts[0] == 11 and histogram.counts[-1] == 1

    def test_quantiles(self) -> None:
        """A quantile is right to the width of a bin."""
        values = np.random.default_rng(1).exponential(size=50_000)

        histogram = histogram_of(*np.split(values, 10))

        for share in (0.5, 0.99, 0.9999):
            width = histogram.limit / BINS
            assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), abs=2 * width)


class TestThreshold:
    def test_minmax_clips_nothing(self, outlier: np.ndarray) -> None:
        """The largest value is the threshold."""
        assert threshold(histogram_of(outlier), 100.0, MINMAX) == 100.0

    def test_percentile(self, outlier: np.ndarray) -> None:
        """A share of the values is kept, whatever the largest is."""
        found = threshold(histogram_of(outlier), 100.0, PERCENTILE, 99.0)

        assert found == pytest.approx(np.percentile(np.abs(outlier), 99.0), abs=0.1)

    def test_mse_is_the_best_of_a_fine_search(self, outlier: np.ndarray) -> None:
        """No other threshold leaves a squared error more than 2 percent smaller."""

        def error(limit: float) -> float:
            step = limit / 127
            return float(((np.clip(np.rint(outlier / step), -127, 127) * step - outlier) ** 2).sum())

        found = threshold(histogram_of(outlier), 100.0, MSE)

        assert error(found) <= 1.02 * min(error(limit) for limit in np.linspace(3, 100, 400))

    def test_entropy_gives_up_the_outlier(self, outlier: np.ndarray) -> None:
        """The shape of the distribution counts, so one value far out does not stretch the grid."""
        values = np.clip(outlier, -12, 12)
        found = threshold(histogram_of(values), 12.0, ENTROPY)

        assert 3 < found < 9

    def test_entropy_keeps_a_flat_range(self) -> None:
        """Of values that fill their range evenly hardly anything is clipped."""
        values = np.random.default_rng(0).uniform(-1, 1, 100_000)

        assert threshold(histogram_of(values), 1.0, ENTROPY) > 0.95

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_never_above_the_largest(self, algorithm: str) -> None:
        """Half of a doubled range is empty, and no threshold lies there."""
        histogram = histogram_of(np.array([1.0] * 300), np.array([1.01] * 300))

        assert 0 < threshold(histogram, 1.01, algorithm) <= 1.01

    def test_unknown(self) -> None:
        """A wrong name is an error that shows the right ones."""
        with pytest.raises(InputError, match="one of auto, minmax, percentile, mse, entropy, not 'kl'"):
            threshold(histogram_of(np.ones(3)), 1.0, "kl")
