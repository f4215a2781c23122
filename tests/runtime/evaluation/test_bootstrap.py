"""Confidence intervals over queries, alone and paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation import bootstrap
from mambapro.runtime.evaluation.bootstrap import bootstrap_intervals, paired_differences, resampled_means
from mambapro.runtime.evaluation.retrieval.metrics import evaluate_retrieval


def report(noise, queries=60, max_rank=50, seed=0):
    """Ten identities in a plane of eight dimensions; more noise ranks worse."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, 8))
    query_ids, gallery_ids = np.arange(queries) % 10, np.arange(100) % 10
    query = centres[query_ids] + noise * rng.normal(size=(queries, 8))
    gallery = centres[gallery_ids] + noise * rng.normal(size=(100, 8))
    return evaluate_retrieval(query, gallery, query_ids, gallery_ids, [0] * queries, [1] * 100, max_rank)


class TestResampledMeans:
    def test_equals_a_loop(self):
        """Counting how often each row was drawn gives the mean over the drawn rows."""
        values = np.random.default_rng(1).normal(size=(7, 2))
        rng = np.random.default_rng(5)
        expected = [values[rng.integers(7, size=7)].mean(axis=0) for _ in range(20)]

        np.testing.assert_allclose(resampled_means(values, 20, seed=5), expected, atol=1e-12)

    def test_chunks_do_not_matter(self, monkeypatch):
        """Resamples counted three at a time are those of one go."""
        values = np.arange(8.0)[:, None]
        whole = resampled_means(values, 10)
        monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 24)

        np.testing.assert_array_equal(resampled_means(values, 10), whole)

    def test_spread_is_the_standard_error(self):
        """The means of many resamples spread as theory says: standard deviation / sqrt(N)."""
        values = np.random.default_rng(2).normal(size=(400, 1))

        assert resampled_means(values, 4000).std() == pytest.approx(values.std() / 20, rel=0.05)

    @pytest.mark.parametrize(("values", "resamples"), [(np.ones((3, 1)), 0), (np.ones((0, 1)), 5), (np.ones(3), 5)])
    def test_nothing_to_draw(self, values, resamples):
        """No resamples, no rows, or no table are refused."""
        with pytest.raises(InputError, match="bootstrap needs"):
            resampled_means(values, resamples)


class TestIntervals:
    def test_hold_the_value(self):
        """Each value lies inside its interval, and the interval is not a point."""
        found = report(noise=1.0)
        intervals = bootstrap_intervals(found)

        for value, interval in [
            (found.map, intervals.map),
            (found.minp, intervals.minp),
            *((found.rank(k), intervals.rank(k)) for k in (1, 5)),
        ]:
            assert interval.low < value < interval.high

    def test_are_the_percentiles_of_resampled_map(self):
        """The interval of mAP is the percentiles of the mean average precision over drawn queries."""
        found = report(noise=1.0)
        means = resampled_means(np.array(found.per_query_ap)[:, None], 300, seed=4)[:, 0]
        interval = bootstrap_intervals(found, 300, seed=4, level=0.9).map

        assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(means, [5, 95])), abs=1e-12)

    def test_seed(self):
        """The same seed gives the same interval, another one another."""
        found = report(noise=1.0)

        assert bootstrap_intervals(found, seed=1) == bootstrap_intervals(found, seed=1)
        assert bootstrap_intervals(found, seed=1).map != bootstrap_intervals(found, seed=2).map

    def test_more_queries_are_surer(self):
        """With sixteen times the queries the interval is much narrower."""
        few, many = (bootstrap_intervals(report(1.0, queries)).map for queries in (30, 480))

        assert many.high - many.low < 0.5 * (few.high - few.low)

    def test_short_reports_have_fewer_ranks(self):
        """A report that ends at rank 3 has an interval for Rank-1 only."""
        intervals = bootstrap_intervals(report(1.0, max_rank=3), 10)

        assert [rank for rank, _ in intervals.ranks] == [1]
        assert set(intervals.to_json()) == {"map", "minp", "rank_1", "level", "resamples", "seed"}
        with pytest.raises(InputError, match="Rank-5"):
            intervals.rank(5)

    def test_level(self):
        """A level that is no share is refused."""
        with pytest.raises(InputError, match=r"0\.95"):
            bootstrap_intervals(report(1.0), level=95)


class TestPaired:
    def test_difference_and_sign(self):
        """A clearly better second report: every difference is positive, in every resample."""
        bad, good = report(1.5), report(0.5)
        first = paired_differences(bad, good)[0]

        assert first.name == "mAP"
        assert first.difference == pytest.approx(good.map - bad.map)
        assert 0 < first.low < first.difference < first.high
        assert first.not_better == 0.0
        assert "%" in str(first) and first.to_json()["low"] == first.low

    def test_report_with_itself(self):
        """No difference, and no uncertainty: the same queries are drawn on both sides."""
        found = report(1.0)

        assert {(d.difference, d.low, d.high, d.not_better) for d in paired_differences(found, found)} == {
            (0.0, 0.0, 0.0, 1.0)
        }

    def test_other_queries(self):
        """Reports of different queries cannot be paired."""
        with pytest.raises(InputError, match="60 and 30"):
            paired_differences(report(1.0), report(1.0, queries=30))

    def test_as_many_other_queries(self):
        """Equally many queries that are not the same ones cannot be paired either."""
        first = report(1.0)
        second = replace(first, query_rows=tuple(row + 1 for row in first.query_rows))

        with pytest.raises(InputError, match="cannot be paired"):
            paired_differences(first, second)

    def test_other_ranks(self):
        """Reports that reach different ranks cannot be paired."""
        with pytest.raises(InputError, match="max_rank"):
            paired_differences(report(1.0), report(1.0, max_rank=5))
