"""Evaluation of a benchmark through any feature function."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.data import rgb_conversion
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.modalities import SUBSETS
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.runtime.evaluation.retrieval.evaluate import (
    Retrieval,
    evaluate_benchmark,
    extract_features,
    extract_subsets,
    feature_function,
)
from mambapro.runtime.extractor import Extractor
from PIL import Image

HALF = (0.5, 0.5, 0.5)
PRE = Preprocessing(16, 8, HALF, HALF)


@pytest.fixture
def samples(tmp_path):
    """Three identities, each seen by cameras 0 and 1; an identity is a colour, the second camera is a bit darker."""
    colours = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250]], np.uint8)
    made = []
    for identity, colour in enumerate(colours):
        for camera in range(2):
            sources = {}
            for sensor in ("rgb", "nir", "tir"):
                path = tmp_path / f"{sensor}_{identity}_{camera}.png"
                Image.fromarray(np.full((20, 12, 3), colour - 15 * camera, np.uint8)).save(path)
                sources[sensor] = ImageSource(path)
            made.append(Sample(f"{identity}_{camera}", sources, identity, camera, scene=identity))
    return tuple(made)


def mean_colour(batch):
    """A feature function that a colour gives away."""
    return batch.images["rgb"].mean(axis=(1, 2))


def constant(batch):
    """A feature function that cannot tell anything apart."""
    return np.ones((len(batch), 4))


def benchmark(samples, junk="camera", **parts):
    """All samples are query and gallery, as in RGBNT201."""
    return Benchmark("drawn", (), **{"query": samples, "gallery": samples, **parts}, junk=junk, image_size=(16, 8))


class TestExtractFeatures:
    def test_features_come_in_order_across_batches(self, samples):
        """Six samples in batches of four give the rows of six batches of one."""
        by_four = extract_features(samples, mean_colour, PRE, batch_size=4)

        np.testing.assert_array_equal(by_four, extract_features(samples, mean_colour, PRE, batch_size=1))
        assert by_four.dtype == np.float32
        assert by_four[:, 0].tolist() == [250, 235, 20, 5, 20, 5]

    def test_function_gets_images_of_the_model_size_and_cameras(self, samples):
        """A Batch with uint8 (N, height, width, 3), all of them present, and int64 cameras."""
        seen = []

        def spy(batch):
            nir, tir, cameras = batch.images["nir"], batch.images["tir"], batch.cameras
            seen.append((len(batch), nir.shape[1:], tir.dtype, cameras.tolist(), cameras.dtype, batch.mask.all()))
            return np.ones((len(batch), 2))

        extract_features(samples, spy, PRE, batch_size=6)

        assert seen == [(6, (16, 8, 3), np.uint8, [0, 1, 0, 1, 0, 1], np.int64, True)]

    def test_progress_counts_samples(self, samples):
        """The track is told the number of samples, whatever the batches are."""
        told = []

        def track(items, description, total=None):
            told.append(total)
            return items

        extract_features(samples, constant, PRE, batch_size=4, track=track)

        assert told == [6]

    def test_nan_names_the_samples(self, samples):
        """ArtifactError lists the names, not the rows."""

        def poisoned(batch):
            features = np.ones((len(batch), 1))
            features[[1, 4], 0] = np.nan, np.inf
            return features

        with pytest.raises(ArtifactError, match=r"infinity for 0_1, 2_0\."):
            extract_features(samples, poisoned, PRE)

    def test_wrong_number_of_features_is_refused(self, samples):
        """ArtifactError when a function returns other than one row per sample."""
        with pytest.raises(ArtifactError, match=r"\(1, 2\) for 6 samples"):
            extract_features(samples, lambda *_: np.ones((1, 2)), PRE)

    def test_no_samples_are_refused(self):
        """InputError for an empty list."""
        with pytest.raises(InputError, match="no samples"):
            extract_features([], constant, PRE)


class TestExtractSubsets:
    def test_equals_the_extractor_with_sensors_left_out(self, bundle, samples):
        """Each set's features are those of the bundle when the other sensors are not given."""
        with Extractor(bundle, device="cpu") as extractor:
            features = extract_subsets(samples, feature_function(extractor), extractor.preprocessing, batch_size=4)

            assert list(features) == list(SUBSETS)
            for subset, found in features.items():
                given = {name: [s.sources[name] for s in samples] for name in subset}
                expected = extractor(**given, cameras=[s.camera for s in samples], normalize=False)
                np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.abs(features["rgb",] - features["tir",]).max() > 1e-3

    def test_images_are_decoded_once(self, samples, monkeypatch):
        """Seven sets cost three images for each sample, not more."""
        decoded = []
        original = rgb_conversion.open_image
        monkeypatch.setattr(
            rgb_conversion, "open_image", lambda *arguments: decoded.append(arguments) or original(*arguments)
        )

        extract_subsets(samples, constant, PRE)

        assert len(decoded) == 3 * len(samples)


class TestEvaluateBenchmark:
    def test_telling_features_rank_perfectly(self, samples):
        """The other camera's image of the same colour comes first."""
        report = evaluate_benchmark(benchmark(samples), mean_colour, PRE)

        assert (report.map, report.rank(1), report.queries) == (1.0, 1.0, 6)

    def test_blind_features_do_not(self, samples):
        """Constant features stay below."""
        assert evaluate_benchmark(benchmark(samples), constant, PRE).map < 0.9

    def test_shared_samples_are_run_once(self, samples):
        """Six samples that are query and gallery cost six runs, not twelve."""
        seen = []

        def counting(batch):
            seen.append(len(batch))
            return mean_colour(batch)

        evaluate_benchmark(benchmark(samples), counting, PRE)

        assert sum(seen) == 6

    def test_junk_field_decides(self, samples):
        """By scene every match is junk here, so nothing is left to score."""
        with pytest.raises(InputError, match="nothing to score"):
            evaluate_benchmark(benchmark(samples, junk="scene"), mean_colour, PRE)

    @pytest.mark.parametrize("part", ["query", "gallery"])
    def test_empty_part_is_refused(self, samples, part):
        """InputError counts queries and gallery."""
        with pytest.raises(InputError, match="an evaluation needs both"):
            evaluate_benchmark(benchmark(samples, **{part: ()}), mean_colour, PRE)

    def test_unknown_junk_rule_is_refused(self, samples):
        """InputError names the rule."""
        with pytest.raises(InputError, match="'view'"):
            evaluate_benchmark(benchmark(samples, junk="view"), mean_colour, PRE)


def test_bundle_is_a_feature_function(bundle, samples):
    """An Extractor evaluates like any other function, with its raw embeddings."""
    with Extractor(bundle, device="cpu") as extractor:
        features = extract_features(samples, feature_function(extractor), extractor.preprocessing)
        sources = ([sample.sources[name] for sample in samples] for name in SUBSETS[0])
        expected = extractor(*sources, [sample.camera for sample in samples], normalize=False)
        strict = feature_function(extractor, strict_cameras=True)

        np.testing.assert_allclose(features, expected, atol=1e-6)
        with pytest.raises(InputError, match="Cameras outside"):
            strict(Batch.of({"rgb": np.zeros((1, 16, 8, 3), np.uint8)}, cameras=np.array([8])))


def test_split_gives_queries_first() -> None:
    """Features of the distinct samples are handed out as those of the queries and those of the gallery."""
    retrieval = Retrieval(Benchmark("rgbnt201", (), (), (), "", (1, 1)), [], [2], [0, 1], ([], [], [], []))

    query, gallery = retrieval.split(np.arange(3.0)[:, None])

    assert query.tolist() == [[2.0]] and gallery.tolist() == [[0.0], [1.0]]
