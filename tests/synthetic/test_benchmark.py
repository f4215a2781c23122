"""Drawn benchmarks: read back by the readers of the real ones, seeded, and left whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.readers.benchmarks import benchmark_info, benchmarks_of, read_benchmark
from mambapro.runtime.evaluation.retrieval.metrics import evaluate_retrieval
from mambapro.synthetic import settings
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.synthetic.observation import draw_sample, draw_samples
from mambapro.synthetic.shot_list import TEST_FROM
from PIL import Image

NAMES = tuple(benchmarks_of("re-identification"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """One small drawn set of each kind: {name: (root, report)}."""
    base = tmp_path_factory.mktemp("drawn")
    return {
        name: (base / name, draw_benchmark(base / name, name, seed=3, identities=(2, 3), views=4)) for name in NAMES
    }


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def labels(samples, field):
    return [getattr(sample, field) for sample in samples]


@pytest.mark.parametrize("name", NAMES)
class TestReadBack:
    def test_counts(self, drawn, name):
        """The benchmark's own reader finds what the report says."""
        root, report = drawn[name]

        benchmark = read_benchmark(name, root)

        assert (len(benchmark.train), len(benchmark.query), len(benchmark.gallery)) == (
            report.train,
            report.query,
            report.gallery,
        )
        assert {s.identity for s in benchmark.train} == {1, 2}
        assert {s.identity for s in benchmark.gallery} == {TEST_FROM, TEST_FROM + 1, TEST_FROM + 2}

    def test_image_sizes(self, drawn, name):
        """Every image, or box of a strip, has the benchmark's size."""
        benchmark = read_benchmark(name, drawn[name][0])
        height, width = benchmark.image_size

        for sample in benchmark.gallery:
            for source in sample.sources.values():
                with Image.open(source.path) as image:
                    size = image.size if source.box is None else image.crop(source.box).size
                    assert (image.mode, size) == ("RGB", (width, height))

    def test_every_query_has_a_match(self, drawn, name):
        """Under the benchmark's junk rule no query is left without a gallery image."""
        benchmark = read_benchmark(name, drawn[name][0])
        query, gallery = benchmark.query, benchmark.gallery
        features = np.random.default_rng(0).normal(size=(len(query) + len(gallery), 4))

        report = evaluate_retrieval(
            features[: len(query)],
            features[len(query) :],
            labels(query, "identity"),
            labels(gallery, "identity"),
            labels(query, benchmark.junk),
            labels(gallery, benchmark.junk),
        )

        assert report.skipped_queries == 0

    def test_two_views_are_enough(self, tmp_path, name):
        """The smallest number of images per identity still gives every query a match elsewhere."""
        draw_benchmark(tmp_path / "set", name, identities=(1, 2), views=2)

        benchmark = read_benchmark(name, tmp_path / "set")
        for query in benchmark.query:
            own = getattr(query, benchmark.junk)
            assert any(g.identity == query.identity and getattr(g, benchmark.junk) != own for g in benchmark.gallery)

    def test_says_that_it_is_drawn(self, drawn, name):
        """The root says in words and in JSON that no camera took these images."""
        root, report = drawn[name]

        facts = json.loads((root / "drawn.json").read_text())

        assert facts["drawn"] is True
        assert (facts["dataset"], facts["seed"], facts["version"]) == (name, 3, settings.VERSION)
        assert "drawn by a program" in (root / "README.txt").read_text()
        assert report.to_json()["gallery"] == facts["gallery"]


@pytest.mark.parametrize("name", NAMES)
class TestDeterminism:
    def test_same_seed_same_bytes(self, drawn, tmp_path, name):
        """The same seed writes the same bytes."""
        draw_benchmark(tmp_path / "again", name, seed=3, identities=(2, 3), views=4)

        assert contents(tmp_path / "again") == contents(drawn[name][0])

    def test_other_seed_other_images(self, name):
        """Another seed draws somebody else."""
        assert not np.array_equal(draw_sample(name, 0, 1, 0, 0)[0], draw_sample(name, 1, 1, 0, 0)[0])

    def test_more_identities_change_no_image(self, drawn, tmp_path, name):
        """Further identities leave every image of the others as it is."""
        draw_benchmark(tmp_path / "more", name, seed=3, identities=(3, 4), views=4)

        small, large = (contents(root) for root in (drawn[name][0], tmp_path / "more"))
        images = {path: digest for path, digest in small.items() if path.endswith(".jpg")}
        assert images.items() <= large.items()
        assert len(large) > len(small)


@pytest.mark.parametrize("name", NAMES)
class TestSamples:
    def test_shape_and_type(self, name):
        """A sample is three uint8 images of the benchmark's size; NIR and TIR have three equal channels."""
        images = draw_sample(name, 0, 5, 1, 2)

        height, width = benchmark_info(name).image_size
        for image in images:
            assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
        for grey in images[1:]:
            assert np.array_equal(grey[..., 0], grey[..., 1]) and np.array_equal(grey[..., 0], grey[..., 2])

    def test_other_size(self, name):
        """The image size can be chosen."""
        assert {image.shape for image in draw_sample(name, 0, 5, 1, 2, (64, 64))} == {(64, 64, 3)}

    def test_batch(self, name):
        """`draw_samples` gives distinct identities, cameras within the table, and the images of draw_sample."""
        batch = draw_samples(name, 5, seed=2)

        cameras = [camera for _, camera in batch]
        assert len(batch) == 5 and set(cameras) <= set(range(benchmark_info(name).cameras))
        assert len({images[0].tobytes() for images, _ in batch}) == 5
        assert np.array_equal(batch[0][0][2], draw_sample(name, 2, 1, cameras[0], 0)[2])

    def test_some_nights(self, name):
        """On some images RGB is nearly black while NIR and TIR are not."""
        means = np.array([[image.mean() for image in draw_sample(name, 0, i, 0, 0, (64, 64))] for i in range(1, 61)])

        dark = means[:, 0] < 25
        assert 1 <= dark.sum() <= 30
        assert (means[dark][:, 1:] > 25).all()


class TestRefusals:
    def test_existing_output(self, tmp_path):
        """An output folder that exists stays as it is."""
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "mine.txt").write_text("keep")

        with pytest.raises(InputError, match="exists already"):
            draw_benchmark(tmp_path / "set", "rgbnt201", identities=(1, 1), views=2)
        assert contents(tmp_path).keys() == {"set/mine.txt"}

    def test_overwrite(self, tmp_path):
        """With overwrite a drawn set is replaced as a whole."""
        draw_benchmark(tmp_path / "set", "rgbnt201", identities=(1, 1), views=2)

        draw_benchmark(tmp_path / "set", "rgbnt100", identities=(1, 1), views=2, overwrite=True)

        assert not (tmp_path / "set" / "RGBNT201").exists()
        assert len(read_benchmark("rgbnt100", tmp_path / "set").train) == 2

    @pytest.mark.parametrize("dataset", ["rgbnt201", "rgbnt100", "msvr310"])
    def test_overwrite_spares_a_set_with_other_files(self, tmp_path, dataset):
        """A drawn set into which somebody put a file of his own, a picture for one, is not replaced."""
        draw_benchmark(tmp_path / "set", dataset, identities=(1, 1), views=2)
        draw_benchmark(tmp_path / "set", dataset, identities=(2, 1), views=2, overwrite=True)
        picture = next((tmp_path / "set").rglob("*.jpg"))
        own = picture.with_name("mine.jpg")
        own.write_bytes(b"mine")

        with pytest.raises(InputError, match="holds other things"):
            draw_benchmark(tmp_path / "set", dataset, identities=(1, 1), views=2, overwrite=True)

        assert own.read_bytes() == b"mine"

    def test_overwrite_spares_what_was_not_drawn(self, tmp_path):
        """A folder of somebody's own files is not replaced, overwrite or not."""
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "own.txt").write_text("kept")

        with pytest.raises(InputError, match="holds other things"):
            draw_benchmark(tmp_path / "set", "rgbnt100", identities=(1, 1), views=2, overwrite=True)

        assert (tmp_path / "set" / "own.txt").read_text() == "kept"

    def test_interruption_leaves_nothing(self, tmp_path):
        """Ctrl-C in the middle leaves no folder, not even a hidden one."""

        def interrupted(items, description, total=None):
            for index, item in enumerate(items):
                if index == 2:
                    raise KeyboardInterrupt
                yield item

        with pytest.raises(KeyboardInterrupt):
            draw_benchmark(tmp_path / "set", "msvr310", identities=(2, 2), views=2, track=interrupted)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"identities": (0, 1)}, "0 training identities"),
            ({"identities": (1, 301)}, "301 test identities"),
            ({"views": 1}, "1 images per identity"),
            ({"seed": -1}, "seed is -1"),
        ],
        ids=["no-training", "too-many", "one-view", "negative-seed"],
    )
    def test_numbers_out_of_range(self, tmp_path, arguments, message):
        """Numbers that make no benchmark are refused before anything is written."""
        with pytest.raises(InputError, match=message):
            draw_benchmark(tmp_path / "set", "rgbnt201", **arguments)
        assert list(tmp_path.iterdir()) == []

    def test_camera_outside(self):
        """A camera that the benchmark does not have is refused."""
        with pytest.raises(InputError, match=r"cameras 0\.\.3"):
            draw_sample("rgbnt201", 0, 1, 4, 0)
