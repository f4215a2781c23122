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

    def test_where_a_quantile_lies(self) -> None:
        """Bins are 1 wide, and one value lies in each of the first four: half of them lie below 2, the end of a bin."""
        histogram = AbsHistogram(np.array([1, 1, 1, 1] + [0] * (BINS - 4)), float(BINS))

        assert [histogram.quantile(share) for share in (0.25, 0.5, 0.51, 0.75, 1.0)] == [1.0, 2.0, 3.0, 3.0, 4.0]

    def test_ends_and_middles_of_bins(self) -> None:
        """The first bin of width 1 ends at 1 and has its middle at 0.5; the last one ends at the limit."""
        histogram = AbsHistogram(None, float(BINS))

        assert (histogram.edges[0], histogram.edges[-1]) == (1.0, BINS)
        assert (histogram.centers[0], histogram.centers[-1]) == (0.5, BINS - 0.5)

    def test_the_range_doubles_as_often_as_needed(self) -> None:
        """From 1 to 100 it doubles seven times, so that the new value lies inside and in its own bin."""
        histogram = histogram_of(np.array([1.0]), np.array([100.0]))

        assert histogram.limit == 128.0
        assert histogram.counts[100 * BINS // 128] == 1 and histogram.counts[BINS // 128 - 1] == 1


def divergence(counts: list[float], bins: int, levels: int) -> float:
    """Kullback-Leibler divergence of the first `bins` counts, the rest clipped into the last, from what `levels` equal
    levels keep of them: level by level, its mass spread evenly over those of its bins that hold something."""
    observed = counts[:bins]
    observed[-1] += sum(counts[bins:])
    kept = [0.0] * bins
    for level in range(levels):
        inside = range(level * bins // levels, (level + 1) * bins // levels)
        filled = [i for i in inside if counts[i] > 0]
        for i in filled:
            kept[i] = sum(counts[j] for j in inside) / len(filled)
    p, q = (np.array(values) / sum(values) for values in (observed, kept))
    return float(sum(a * np.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 0))


class TestEntropy:
    @pytest.mark.parametrize("seed", [0, 2, 4])
    def test_least_divergence_of_128_levels(self, seed: int) -> None:
        """0 to 127 are 128 levels; the threshold is the end of that number of bins, in steps of 16 from 128 on and all
        of them, whose levels diverge least."""
        random = np.random.default_rng(seed)
        values = random.laplace(size=30_000)
        values[3] = 60.0
        histogram = histogram_of(values)
        counts = [float(count) for count in histogram.counts]
        counts[0] = counts[1]

        tried = [*range(128, BINS, 16), BINS]
        best = min(tried, key=lambda bins: divergence(counts, bins, 128))

        largest = float(np.abs(values).max())
        assert threshold(histogram, largest, ENTROPY) == pytest.approx(best * histogram.limit / BINS)

    def test_zeros_weigh_nothing(self) -> None:
        """Zero is exact at any scale: a million of them beside the values changes nothing."""
        values = np.random.default_rng(0).laplace(size=5000)

        found, with_zeros = (
            threshold(histogram_of(*parts), 100.0, ENTROPY) for parts in ([values], [values, np.zeros(1_000_000)])
        )

        assert found == with_zeros


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
