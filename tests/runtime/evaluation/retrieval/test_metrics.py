"""Retrieval metrics against the golden numbers, and the junk rule by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation.retrieval import metrics
from mambapro.runtime.evaluation.retrieval.metrics import (
    evaluate_distances,
    evaluate_retrieval,
    rank_gallery,
    squared_distances,
)

GOLDEN = Path(__file__).parents[3] / "golden" / "metrics.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def on_circle(degrees):
    """2-D unit features, so that the ranking can be read off the angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


class TestGolden:
    @pytest.mark.parametrize(("rule", "groups"), [("camera", "cam"), ("scene", "scene")])
    def test_cmc_and_map(self, golden, rule, groups):
        """CMC to rank 50 and mAP are the reference's under both junk rules."""
        report = evaluate_retrieval(
            golden["query_feat"],
            golden["gallery_feat"],
            golden["query_pid"],
            golden["gallery_pid"],
            golden[f"query_{groups}"],
            golden[f"gallery_{groups}"],
        )

        assert report.map == pytest.approx(float(golden[f"{rule}_map"]), abs=1e-6)
        np.testing.assert_allclose(report.cmc, golden[f"{rule}_cmc"], atol=1e-6)
        assert (report.queries, report.skipped_queries) == (21, 3)

    def test_distances(self, golden):
        """Distances are squared Euclidean ones between normalised features."""
        distances = squared_distances(golden["query_feat"], golden["gallery_feat"])

        np.testing.assert_allclose(distances, golden["distance"], atol=1e-5)

    def test_chunks_do_not_matter(self, golden, monkeypatch):
        """Queries scored five at a time score as all at once."""
        names = ("query_feat", "gallery_feat", "query_pid", "gallery_pid", "query_cam", "gallery_cam")
        arguments = [golden[name] for name in names]
        whole = evaluate_retrieval(*arguments)
        monkeypatch.setattr(metrics, "_QUERIES_AT_ONCE", 5)

        assert evaluate_retrieval(*arguments).per_query_ap == pytest.approx(whole.per_query_ap, abs=1e-12)


class TestByHand:
    def test_junk_is_taken_out_of_the_ranking(self):
        """An image of the query's identity and group costs no rank and earns none."""
        # near to far: junk, another identity, match, another identity, match
        report = evaluate_retrieval(
            on_circle([0]), on_circle([1, 2, 3, 4, 5]), [7], [7, 8, 7, 8, 7], [0], [0, 0, 1, 1, 2]
        )

        assert report.map == pytest.approx((1 / 2 + 2 / 4) / 2)
        assert report.minp == pytest.approx(2 / 4)
        assert report.cmc[:3] == (0.0, 1.0, 1.0)

    def test_same_group_of_others_counts(self):
        """Only the query's own identity can be junk: others of its camera stay in the ranking."""
        report = evaluate_retrieval(on_circle([0]), on_circle([1, 2]), [7], [8, 7], [0], [0, 1])

        assert report.map == pytest.approx(0.5)

    def test_queries_without_match_are_skipped(self):
        """A query whose only matches are junk is counted as skipped and changes no mean."""
        report = evaluate_retrieval(on_circle([0, 90]), on_circle([1, 91]), [1, 2], [1, 2], [0, 0], [1, 0])

        assert (report.queries, report.skipped_queries) == (1, 1)
        assert report.map == 1.0
        assert len(report.per_query_ap) == 1

    def test_identities_that_the_gallery_lacks(self):
        """Queries of absent identities are skipped, and counted apart from those that have junk only."""
        report = evaluate_retrieval(
            on_circle([0, 40, 80]), on_circle([1, 41, 90]), [1, 2, 3], [1, 2, 9], [0, 0, 0], [1, 0, 1]
        )

        assert (report.queries, report.skipped_queries, report.absent_queries) == (1, 2, 1)
        assert report.query_rows == (0,)

    def test_values_of_each_query(self):
        """First match and inverse penalty are kept by query; their means are what is reported."""
        report = evaluate_retrieval(
            on_circle([0, 90]), on_circle([1, 2, 91, 92]), [1, 2], [9, 1, 2, 1], [0, 0], [1, 1, 1, 1]
        )

        assert report.per_query_first == (2, 1)
        assert report.per_query_inp == pytest.approx((2 / 4, 1.0))
        assert report.minp == pytest.approx(0.75)

    def test_given_distances(self):
        """Distances of one's own are ranked like those of features."""
        query, gallery = on_circle([0, 30]), on_circle([5, 10, 31, 60])
        labels = [1, 2], [2, 1, 2, 1], [0, 0], [1, 1, 1, 1]

        found = evaluate_distances(squared_distances(query, gallery), *labels)

        assert found == evaluate_retrieval(query, gallery, *labels)

    def test_no_query_left(self):
        """When no query has a match there is no number to report."""
        with pytest.raises(InputError, match="None of the 1 queries"):
            evaluate_retrieval(on_circle([0]), on_circle([1]), [1], [1], [0], [0])

    def test_small_gallery_still_has_fifty_ranks(self):
        """CMC reaches rank 50 also where the gallery is smaller, and never falls."""
        report = evaluate_retrieval(on_circle([0]), on_circle([1, 2]), [1], [2, 1], [0], [1, 1])

        assert report.cmc == (0.0, *[1.0] * 49)

    def test_length_does_not_matter(self):
        """Features are normalised: a longer one is no farther."""
        gallery = on_circle([1, 20]) * np.array([[100.0], [0.01]])

        assert rank_gallery(on_circle([0]), gallery).tolist() == [[0, 1]]

    def test_ties_keep_the_gallery_order(self):
        """Equal distances are ranked in gallery order."""
        assert rank_gallery(on_circle([0]), on_circle([5, 5, 0, 5])).tolist() == [[2, 0, 1, 3]]

    def test_many_ties_keep_the_gallery_order(self):
        """Of hundreds of distances with three values, more than a sort puts in order by accident, equal ones are
        ranked in the gallery's order, computed here with Python's sort, which is stable."""
        distances = np.random.default_rng(0).integers(0, 3, (4, 400)).astype(float)
        ids = np.full(400, 9)
        ids[[130, 244, 399]] = 7

        report = evaluate_distances(distances, [7] * 4, ids, [0] * 4, [1] * 400)

        for row, first, precision in zip(distances, report.per_query_first, report.per_query_ap, strict=True):
            ranks = [1 + place for place, i in enumerate(sorted(range(400), key=row.__getitem__)) if ids[i] == 7]
            assert first == ranks[0]
            assert precision == pytest.approx(np.mean([(k + 1) / rank for k, rank in enumerate(ranks)]))
        angles = np.random.default_rng(1).choice([5, 50, 120], 400)
        assert rank_gallery(on_circle([0]), on_circle(angles))[0].tolist() == sorted(range(400), key=angles.__getitem__)

    def test_rows_are_those_of_all_queries(self):
        """Queries that are skipped leave gaps in the rows, and none in the values."""
        report = evaluate_retrieval(
            on_circle([0, 40, 80]), on_circle([1, 41, 81]), [1, 2, 3], [1, 2, 3], [0, 0, 0], [0, 1, 1]
        )

        assert report.query_rows == (1, 2)
        assert (report.queries, report.skipped_queries, report.absent_queries) == (2, 1, 0)
        assert len(report.per_query_ap) == len(report.per_query_first) == 2

    def test_top(self):
        """`top` cuts the ranking."""
        assert rank_gallery(on_circle([0, 9]), on_circle([8, 1, 4]), top=1).tolist() == [[1], [0]]


class TestRefusals:
    def test_nan(self):
        """Features that are not finite are counted, not ranked."""
        query = on_circle([0, 1, 2])
        query[1, 0] = np.nan

        with pytest.raises(InputError, match="1 of 3 query features"):
            squared_distances(query, on_circle([0]))

    def test_other_width(self):
        """Features of different length come from different models."""
        with pytest.raises(InputError, match="2 values and gallery features 3"):
            squared_distances(on_circle([0]), np.ones((4, 3)))

    @pytest.mark.parametrize("distances", [[[np.nan, 1.0]], [0.5, 1.0], np.zeros((0, 2))])
    def test_distances(self, distances):
        """Distances that are no finite table are refused."""
        with pytest.raises(InputError, match="Distances must be finite"):
            evaluate_distances(distances, [1], [1, 2], [0], [1, 1])

    def test_label_count(self):
        """A label list of another length is refused by name."""
        with pytest.raises(InputError, match="gallery groups"):
            evaluate_retrieval(on_circle([0]), on_circle([1, 2]), [1], [1, 1], [0], [1])

    def test_rank_out_of_reach(self):
        """A rank beyond the report is an error, not the last one."""
        report = evaluate_retrieval(on_circle([0]), on_circle([1]), [1], [1], [0], [1], max_rank=5)

        with pytest.raises(InputError, match=r"1\.\.5"):
            report.rank(6)


class TestReport:
    def test_shown_and_json(self):
        """The table shows percentages; the JSON keeps the fractions."""
        report = evaluate_retrieval(on_circle([0]), on_circle([1, 2]), [1], [2, 1], [0], [1, 1])

        assert "50.00 %" in str(report) and "Rank-1" in str(report)
        assert report.to_json()["map"] == 0.5
        assert report.to_json()["cmc"] == list(report.cmc)
