"""What is compared: the choice of samples, features by stage, similarities, directions, t-SNE."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.common.figures import COLORS, SHAPES, marker_of
from mambapro.errors import InputError
from mambapro.runtime.data.decoding import decode
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.engine.feature_function import torch_feature_function
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.paper.explain.embedding import perplexity_for, silhouette, tsne
from mambapro.train.paper.explain.selection import MOST_IDENTITIES, select_samples
from mambapro.train.paper.explain.similarity import modality_similarities
from mambapro.train.paper.explain.stages import AFTER, BEFORE, identity_directions, preprocessing_of, stage_features

LABELS = np.array([3, 3, 3, 7, 7, 9, 9])


def features(dim: int = 5, seed: int = 0) -> np.ndarray:
    """Random features (7, 3, dim)."""
    return np.random.default_rng(seed).standard_normal((len(LABELS), 3, dim)).astype(np.float32)


def sample(identity: int, number: int) -> Sample:
    """One sample whose images are nowhere."""
    source = ImageSource(Path("nowhere.jpg"))
    return Sample(f"{identity}_{number}", dict.fromkeys(MODALITIES, source), identity, camera=number)


def benchmark(sizes: dict[int, int]) -> Benchmark:
    """Identities with so many samples each; the first sample of each is a query too."""
    gallery = tuple(sample(identity, number) for identity, count in sizes.items() for number in range(count))
    query = tuple(sample(identity, 0) for identity in sizes)
    return Benchmark("rgbnt201", train=(), query=query, gallery=gallery, junk="camera", image_size=(256, 128))


class TestSelection:
    def test_the_seed_decides(self) -> None:
        """The same seed draws the same samples, another one others; identities are grouped and ascending."""
        everything = benchmark(dict.fromkeys(range(30, 0, -1), 9))

        first, again, other = (select_samples(everything, 5, 4, seed) for seed in (1, 1, 2))

        assert first == again != other
        assert len(first.samples) == 20 and len(first.identities) == 5
        assert list(first.labels) == sorted(first.labels)

    def test_a_sample_counts_once(self) -> None:
        """What is query and gallery is one sample; an identity with one sample is never drawn."""
        chosen = select_samples(benchmark({1: 3, 2: 1, 3: 2}), None, 16, 0)

        assert chosen.identities == (1, 3)
        assert sorted(s.name for s in chosen.samples) == ["1_0", "1_1", "1_2", "3_0", "3_1"]

    def test_rows_change_identities(self) -> None:
        """Rows take one sample of each identity before a second one, and not always the first of it."""
        chosen = select_samples(benchmark({1: 3, 2: 3, 3: 3}), None, 3, 0)

        names = [chosen.samples[row].name for row in chosen.rows(5)]

        assert names == ["1_0", "2_1", "3_2", "1_1", "2_2"]
        assert len(chosen.rows(100)) == 9

    @pytest.mark.parametrize(
        ("sizes", "identities", "samples", "message"),
        (
            ({1: 3, 2: 1}, None, 4, "has 1 with two samples or more, 2 are needed"),
            ({1: 3, 2: 3}, 3, 4, "has 2 with two samples or more, 3 are needed"),
            ({1: 3, 2: 3}, 1, 4, "give 2 to 56"),
            ({1: 3, 2: 3}, 57, 4, "give 2 to 56"),
            ({1: 3, 2: 3}, 2, 1, "at least 2"),
        ),
    )
    def test_too_few(self, sizes: dict[int, int], identities: int | None, samples: int, message: str) -> None:
        """Too few identities or samples, or more than can be told apart, raise InputError with the numbers."""
        with pytest.raises(InputError, match=message):
            select_samples(benchmark(sizes), identities, samples, 0)

    def test_markers_are_distinct(self) -> None:
        """As many pairs of colour and shape as identities are allowed; neighbours differ in both."""
        markers = [marker_of(number) for number in range(MOST_IDENTITIES)]

        assert len(set(markers)) == MOST_IDENTITIES == len(COLORS) * len(SHAPES)
        assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(markers))


class TestSimilarity:
    def test_cosines(self) -> None:
        """Same and different are the cosines of all ordered pairs of samples, computed one by one."""
        values = features()

        pairs = modality_similarities(values, LABELS)

        assert [(pair.first, pair.second) for pair in pairs] == [("rgb", "nir"), ("rgb", "tir"), ("nir", "tir")]
        for pair, (one, other) in zip(pairs, ((0, 1), (0, 2), (1, 2)), strict=True):
            same, different = [], []
            for i, first in enumerate(values[:, one].astype(float)):
                for j, second in enumerate(values[:, other].astype(float)):
                    cosine = first @ second / np.sqrt((first @ first) * (second @ second))
                    (same if LABELS[i] == LABELS[j] else different).append(cosine)
            np.testing.assert_allclose(pair.same, same, atol=1e-12)
            np.testing.assert_allclose(pair.different, different, atol=1e-12)
            assert pair.to_json()["mean_same"] == pytest.approx(np.mean(same))
            assert (pair.to_json()["pairs_same"], pair.to_json()["pairs_different"]) == (9 + 4 + 4, 49 - 17)

    def test_auc(self) -> None:
        """AUC is the share of (same, different) pairs in the right order; ties count half."""
        values = np.round(features(), 0)
        pair = modality_similarities(values, LABELS)[0]

        ahead = pair.same[:, None] - pair.different[None, :]

        assert pair.auc == pytest.approx(np.mean((ahead > 0) + 0.5 * (ahead == 0)))


class TestDirections:
    def test_margin(self) -> None:
        """The product with a unit feature is the cosine to its identity's others, less the mean cosine to the rest."""
        values = features().reshape(7, -1).astype(float)
        units = values / np.linalg.norm(values, axis=1, keepdims=True)

        directions = identity_directions(values, LABELS, [1, 5])

        def cosine_to(row: int, members: list[int]) -> float:
            mean = units[members].mean(0)
            return units[row] @ mean / np.linalg.norm(mean)

        expected = cosine_to(1, [0, 2]) - (cosine_to(1, [3, 4]) + cosine_to(1, [5, 6])) / 2
        assert directions.dtype == np.float32
        assert units[1] @ directions[0] == pytest.approx(expected, abs=1e-6)
        expected = cosine_to(5, [6]) - (cosine_to(5, [0, 1, 2]) + cosine_to(5, [3, 4])) / 2
        assert units[5] @ directions[1] == pytest.approx(expected, abs=1e-6)

    def test_what_all_share_cancels(self) -> None:
        """Identities that lie in one direction leave nothing to tell them apart."""
        values = np.tile(features()[:1].reshape(1, -1), (7, 1)) * np.arange(1, 8)[:, None]

        assert np.abs(identity_directions(values, LABELS, [0, 4])).max() < 1e-6


class TestEmbedding:
    def test_it_can_be_repeated(self) -> None:
        """The same features and seed give the very same places, whatever was drawn in between."""
        values = np.concatenate([features(seed=seed).reshape(7, -1) for seed in range(3)])

        first = tsne(values, 5)
        np.random.default_rng().random()
        tsne(values[:9], 6)

        assert first.shape == (21, 2) and np.isfinite(first).all()
        assert np.array_equal(first, tsne(values, 5))

    def test_groups_stay_together(self) -> None:
        """Two far groups are two groups in the plane, whatever the length of the features."""
        random = np.random.default_rng(0)
        centres = np.repeat(np.eye(6)[:2], 10, axis=0)
        values = (centres + 0.05 * random.standard_normal(centres.shape)) * random.uniform(1, 9, (20, 1))

        points = tsne(values, 0)

        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        same = np.repeat([0, 1], 10)[:, None] == np.repeat([0, 1], 10)[None]
        assert distances[same].max() < distances[~same].min()

    def test_perplexity_fits_the_samples(self) -> None:
        """Never more neighbours than a third of the samples, nor more than 30."""
        assert (perplexity_for(4), perplexity_for(31), perplexity_for(1000)) == (1.0, 10.0, 30.0)
        assert tsne(features()[:4].reshape(4, -1), 0).shape == (4, 2)

    def test_silhouette(self) -> None:
        """The silhouette is the mean of (b - a) / max(a, b) over cosine distances."""
        values = features().reshape(7, -1).astype(float)
        units = values / np.linalg.norm(values, axis=1, keepdims=True)
        distances = 1 - units @ units.T
        scores = []
        for i, label in enumerate(LABELS):
            a = distances[i, (label == LABELS) & (np.arange(7) != i)].mean()
            b = min(distances[i, other == LABELS].mean() for other in set(LABELS) - {label})
            scores.append((b - a) / max(a, b))

        assert silhouette(values, LABELS) == pytest.approx(np.mean(scores))


@pytest.mark.parametrize("mamba", (True, False))
def test_stages(mamba: bool, tmp_path: Path) -> None:
    """The last stage is the model's own feature; the first its class tokens; without MA there is one stage."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 2), views=2)
    samples = read_benchmark("rgbnt201", tmp_path / "data").gallery
    torch.manual_seed(0)
    sizes = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32}
    model = build_model("tiny", image_size=(32, 16), cameras=4, identities=3, mamba=mamba, **sizes).eval()

    found = stage_features(model, samples)

    cameras = np.array([sample.camera for sample in samples])
    preprocessing = preprocessing_of(model)
    batch, _ = decode([sample.sources for sample in samples], cameras, MODALITIES, preprocessing)
    expected = torch_feature_function(model)(batch)
    assert list(found.stages) == ([BEFORE, AFTER] if mamba else [BEFORE])
    assert found.stages[BEFORE].shape == (4, 3, 32)
    np.testing.assert_allclose(found.final.reshape(4, -1), expected, atol=1e-5)
    assert np.allclose(found.stages[BEFORE].reshape(4, -1), expected, atol=1e-5) is not mamba
