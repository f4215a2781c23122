"""k-reciprocal re-ranking against the definition, written down plainly."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.common.progress import silent
from mambapro.errors import InputError
from mambapro.runtime.evaluation.retrieval import reranking
from mambapro.runtime.evaluation.retrieval.distances import normalised
from mambapro.runtime.evaluation.retrieval.metrics import evaluate_distances, evaluate_retrieval, squared_distances
from mambapro.runtime.evaluation.retrieval.reranking import Reranking, reranked_distances


def plainly(query, gallery, k1, k2, weight):
    """The definition with sets and loops over a full matrix."""
    images = np.concatenate([query, gallery])
    distance = squared_distances(images, images)
    total = len(images)
    scaled = distance / distance.max(axis=1, keepdims=True)
    np.fill_diagonal(distance, -1)
    ranking = [np.argsort(row, kind="stable").tolist() for row in distance]

    def mutual(image, k):
        return {other for other in ranking[image][: k + 1] if image in ranking[other][: k + 1]}

    encodings = np.zeros((total, total))
    for image in range(total):
        own = mutual(image, k1)
        extended = set(own)
        for other in own:
            theirs = mutual(other, round(k1 / 2))
            if len(own & theirs) > 2 / 3 * len(theirs):
                extended |= theirs
        for other in extended:
            encodings[image, other] = np.exp(-scaled[image, other])
        encodings[image] /= encodings[image].sum()
    averaged = np.array(
        [np.mean([encodings[other] for other in ranking[image][:k2]], axis=0) for image in range(total)]
    )
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            a, b = averaged[i], averaged[len(query) + j]
            jaccard = 1 - np.minimum(a, b).sum() / np.maximum(a, b).sum()
            result[i, j] = (1 - weight) * jaccard + weight * scaled[i, len(query) + j]
    return result


@pytest.fixture
def clusters():
    """Query (25) and gallery (70) features of twelve loose clusters, and their identities."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(12, 10))
    ids = np.arange(95) % 12
    features = centres[ids] + 0.7 * rng.normal(size=(95, 10))
    return features[:25], features[25:], ids[:25], ids[25:]


class TestAgainstTheDefinition:
    @pytest.mark.parametrize(
        ("k1", "k2", "weight"), [(20, 6, 0.3), (7, 3, 0.3), (6, 1, 0.0), (1, 1, 0.5), (3, 4, 0.1), (300, 6, 0.3)]
    )
    def test_distances(self, clusters, k1, k2, weight):
        """Every distance is the definition's, also where the lists are longer than the data."""
        query, gallery, _, _ = clusters

        found = reranked_distances(query, gallery, Reranking(k1, k2, weight))

        np.testing.assert_allclose(found, plainly(query, gallery, k1, k2, weight), atol=1e-12)

    def test_blocks_do_not_matter(self, clusters, monkeypatch):
        """Ten rows and seven pairs at a time give what one block gives."""
        query, gallery, _, _ = clusters
        whole = reranked_distances(query, gallery)
        monkeypatch.setattr(reranking, "_ROWS_AT_ONCE", 10)
        monkeypatch.setattr(reranking, "_PAIRS_AT_ONCE", 7)

        np.testing.assert_allclose(reranked_distances(query, gallery), whole, atol=1e-12)

    def test_taking_in_needs_more_than_two_thirds(self):
        """A neighbour's set of which three quarters are shared is taken in, one of exactly two thirds is not."""
        nearest, mutual = np.array([[0, 1, 2, 3]]), np.ones((1, 4), bool)
        half = np.array([[0, 1, 2, 4], [1, 2, 5, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0], [5, 0, 0, 0]])
        mutual_half = np.array([[1, 1, 1, 1], [1, 1, 1, 0], *[[1, 0, 0, 0]] * 4], bool)

        extended = reranking._extended(nearest, mutual, half, mutual_half, 6)

        assert np.flatnonzero(extended[0]).tolist() == [0, 1, 2, 3, 4]


class TestProperties:
    def test_original_distance_alone_keeps_the_ranking(self, clusters):
        """With a distance_weight of 1 the accuracy is that without re-ranking."""
        query, gallery, query_ids, gallery_ids = clusters
        labels = query_ids, gallery_ids, [0] * 25, [1] * 70
        distances = reranked_distances(query, gallery, Reranking(distance_weight=1.0))

        assert evaluate_distances(distances, *labels).per_query_ap == pytest.approx(
            evaluate_retrieval(query, gallery, *labels).per_query_ap, abs=1e-12
        )

    def test_it_helps_clusters(self, clusters):
        """Where identities are clusters mAP rises."""
        query, gallery, query_ids, gallery_ids = clusters
        labels = query_ids, gallery_ids, [0] * 25, [1] * 70
        distances = reranked_distances(query, gallery, Reranking(k1=7, k2=3))

        assert evaluate_distances(distances, *labels).map > evaluate_retrieval(query, gallery, *labels).map

    def test_junk_rule_is_untouched(self, clusters):
        """Which queries count, and the places they can get, depend on the labels alone."""
        query, gallery, query_ids, gallery_ids = clusters
        groups = np.arange(25) % 2, (np.arange(70) // 12) % 2
        plain = evaluate_retrieval(query, gallery, query_ids, gallery_ids, *groups)
        found = evaluate_distances(reranked_distances(query, gallery), query_ids, gallery_ids, *groups)

        # a re-ranked junk image at the front costs nothing: put all junk first by hand
        distances = reranked_distances(query, gallery)
        junk = (query_ids[:, None] == gallery_ids) & (groups[0][:, None] == groups[1])
        assert junk.any()
        moved = evaluate_distances(np.where(junk, -1, distances), query_ids, gallery_ids, *groups)
        assert found.query_rows == plain.query_rows
        assert moved == found

    def test_equal_features(self):
        """Features that are all the same give finite distances, the same for everyone."""
        distances = reranked_distances(np.ones((4, 3)), np.ones((9, 3)), Reranking(3, 2))

        assert np.isfinite(distances).all()
        assert (distances >= 0).all() and (distances <= 1).all()

    def test_an_image_is_first_of_its_equals(self):
        """Where several images have one feature, each is nearest to itself, in its own place of the list."""
        features = normalised(np.repeat([[1.0, 0.0], [0.0, 1.0]], 5, axis=0))

        found = reranking._neighbours(features, 3, 4, silent)

        assert found.nearest[:, 0].tolist() == list(range(10))
        # the others of equal distance in the order of their rows
        assert found.nearest[3].tolist() == [3, 0, 1, 2] and found.nearest[8].tolist() == [8, 5, 6, 7]

    @pytest.mark.parametrize("count", [1, 2, 7, 60, 199, 200])
    def test_of_equal_distances_the_first_images_are_taken(self, count):
        """The neighbours are those of a stable sort, also where the last of them is one of many equals."""
        distances = np.random.default_rng(count).integers(0, 4, (30, 200)).astype(np.float64)

        columns = reranking._smallest(distances, count)

        expected = np.sort(np.argsort(distances, axis=1, kind="stable")[:, :count], axis=1)
        np.testing.assert_array_equal(columns, expected)

    @pytest.mark.parametrize("blocks", [2, 256])
    def test_farthest_is_of_each_row(self, blocks, monkeypatch):
        """Rows are divided by their own largest distance: 0, 90 and 100 degrees are not equally far from everything."""
        monkeypatch.setattr(reranking, "_ROWS_AT_ONCE", blocks)
        angles = np.radians([0.0, 90.0, 100.0])
        features = np.stack([np.cos(angles), np.sin(angles)], axis=1)

        found = reranking._neighbours(features, 1, 2, silent)

        expected = 2 - 2 * np.cos([angles[2], angles[1], angles[2]])
        np.testing.assert_allclose(found.farthest, expected)

    def test_few_images(self, clusters):
        """With fewer images than k2 the encodings are averaged over those that there are."""
        query, gallery, _, _ = clusters

        found = reranked_distances(query[:2], gallery[:3], Reranking(20, 15, 0.3))

        np.testing.assert_allclose(found, plainly(query[:2], gallery[:3], 20, 15, 0.3), atol=1e-12)

    def test_image_that_is_query_and_gallery(self, clusters):
        """A query that stands in the gallery too finds itself first."""
        _, gallery, _, _ = clusters

        assert reranked_distances(gallery[:5], gallery).argmin(axis=1).tolist() == [0, 1, 2, 3, 4]


class TestRefusals:
    @pytest.mark.parametrize("wrong", [(0, 1, 0.3), (5, 0, 0.3), (5, 7, 0.3), (5, 2, 1.1), (5, 2, float("nan"))])
    def test_parameters(self, wrong):
        """Parameters that mean nothing are refused by name."""
        with pytest.raises(InputError, match="k1 >= 1"):
            Reranking(*wrong)

    def test_features(self):
        """NaN and features of another width are refused as everywhere."""
        with pytest.raises(InputError, match="query features hold NaN"):
            reranked_distances([[np.nan, 1.0]], [[1.0, 0.0]])
        with pytest.raises(InputError, match="2 values and gallery features 3"):
            reranked_distances(np.ones((1, 2)), np.ones((2, 3)))
