"""Images and labels of attribute recognition as batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.runtime.data.preprocess import Preprocessing, image_array
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.data.sample import Benchmark, ImageSource, Sample
from mambapro.train.attributes.attribute_images import (
    AttributeImages,
    PlainImages,
    ShuffledBatches,
    fingerprint,
    label_matrix,
    split_images,
)
from mambapro.train.engine.distributed import World
from mambapro.train.engine.transforms import Augmentation, TrainTransform
from PIL import Image
from toy_people import NAMES, draw

PLAIN = TrainTransform(Augmentation(flip=0.0, padding=0, erase=0.0))
VARIED = TrainTransform(Augmentation(padding=3, erase=0.0))


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return read_benchmark("attributes", draw(tmp_path_factory.mktemp("toy") / "data"))


class TestItems:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
    def test_kinds_of_images(self, tmp_path: Path, mode: str) -> None:
        """Opaque, grey, palette and 16-bit images are what the runtime makes of them, normalized, bilinear."""
        path = tmp_path / "image.png"
        pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
        (image if mode == "I;16" else image.convert(mode)).save(path)
        sample = Sample("x", {"rgb": ImageSource(path)})

        item = AttributeImages([sample], np.array([[1, 2]], np.uint8), (32, 16), PLAIN)[0]

        wanted = image_array(path, Preprocessing(32, 16, (0.5,) * 3, (0.5,) * 3))
        np.testing.assert_allclose(item.images, (wanted.transpose(2, 0, 1) / 255 - 0.5) / 0.5, atol=1e-6)
        assert item.labels.tolist() == [1, 2]
        assert torch.equal(PlainImages([sample], (32, 16))[0], torch.from_numpy(wanted))

    def test_transparent(self, tmp_path: Path) -> None:
        """InputError names an image whose pixels are not known."""
        Image.new("RGBA", (24, 40), (0, 0, 0, 100)).save(tmp_path / "clear.png")
        sample = Sample("x", {"rgb": ImageSource(tmp_path / "clear.png")})

        with pytest.raises(InputError, match=r"clear\.png has transparent pixels"):
            AttributeImages([sample], np.zeros((1, 1), np.uint8), (32, 16), PLAIN)

    def test_no_rgb(self, benchmark: Benchmark) -> None:
        """InputError for samples of other sensors alone."""
        dark = Sample("night", {"nir": benchmark.train[0].sources["rgb"]})

        with pytest.raises(InputError, match="1 samples have no RGB image, the first of them night"):
            PlainImages([benchmark.train[0], dark], (32, 16))

    def test_augmentation(self, benchmark: Benchmark) -> None:
        """An item follows from seed, epoch and index, whether it was cached or not."""
        samples, labels = benchmark.train[:6], label_matrix(benchmark.train[:6], NAMES)
        cached = AttributeImages(samples, labels, (32, 16), VARIED, seed=1)
        read = AttributeImages(samples, labels, (32, 16), VARIED, seed=1, cache_bytes=0)
        other = AttributeImages(samples, labels, (32, 16), VARIED, seed=2)

        first = [cached[index].images for index in range(6)]
        assert all(torch.equal(image, read[index].images) for index, image in enumerate(first))
        assert not all(torch.equal(image, other[index].images) for index, image in enumerate(first))
        cached.set_epoch(1)
        assert not all(torch.equal(image, cached[index].images) for index, image in enumerate(first))
        again = AttributeImages(samples[:1] * 6, labels, (32, 16), VARIED, seed=1)
        assert not all(torch.equal(again[0].images, again[index].images) for index in range(1, 6))


def test_labels(benchmark: Benchmark) -> None:
    """Labels stand in the order of the names; what a sample does not have is not judged."""
    sample = replace(benchmark.train[1], labels={"blue": 0, "red": 1})

    assert label_matrix([sample], ("red", "green", "blue")).tolist() == [[1, 2, 0]]
    assert label_matrix(benchmark.train, NAMES)[::10, 0].tolist() == [2] * 10


class TestBatches:
    def test_epoch(self) -> None:
        """Every image but the rest comes once, in another order in the next epoch, the same for the same seed."""
        batches = ShuffledBatches(11, 4, seed=3)

        batches.set_epoch(1)
        first = list(batches)
        assert list(batches) == first and len(batches) == len(first) == 2
        assert len({index for batch in first for index in batch}) == 8
        batches.set_epoch(2)
        assert list(batches) != first
        other = ShuffledBatches(11, 4, seed=4)
        other.set_epoch(1)
        assert list(other) != first

    def test_the_rest_of_an_epoch(self) -> None:
        """Skipped batches are left out and counted."""
        batches = ShuffledBatches(12, 4)
        batches.set_epoch(1)
        whole = list(batches)

        batches.set_epoch(1, skip=2)

        assert list(batches) == whole[2:] and len(batches) == 3

    def test_shared(self) -> None:
        """Several processes have parts of the same batches."""
        whole = ShuffledBatches(8, 4)
        parts = [ShuffledBatches(8, 4, world=World(rank, 2)) for rank in range(2)]

        assert [a + b for a, b in zip(*parts, strict=True)] == list(whole)

    @pytest.mark.parametrize(
        ("count", "batch", "size", "words"),
        [
            (3, 4, 1, "3 images, a batch needs 4"),
            (9, 6, 4, "cannot be shared by 4"),
            (9, 4, 4, "at least two for each"),
        ],
    )
    def test_refused(self, count: int, batch: int, size: int, words: str) -> None:
        """InputError names the field that is too large."""
        with pytest.raises(InputError, match=words):
            ShuffledBatches(count, batch, world=World(0, size))


class TestSplit:
    def test_published(self, benchmark: Benchmark) -> None:
        """The validation part validates."""
        training, validation = split_images(benchmark, None, 1)

        assert (training, validation) == (benchmark.train, benchmark.validation)

    def test_without_one(self, benchmark: Benchmark) -> None:
        """Else a tenth of the training images, chosen by the seed, in their order."""
        alone = replace(benchmark, validation=())
        training, validation = split_images(alone, None, 1)

        assert (len(training), len(validation)) == (87, 9)
        assert sorted((*training, *validation), key=lambda s: s.name) == list(benchmark.train)
        assert split_images(alone, None, 1) == (training, validation) != split_images(alone, None, 2)

    def test_too_few_to_validate(self, benchmark: Benchmark, caplog: pytest.LogCaptureFixture) -> None:
        """A warning tells that a tenth of less than ten images is none; not where none are asked for."""
        few = replace(benchmark, train=benchmark.train[:9], validation=())

        assert split_images(few, 0, 1) == (few.train, ()) and not caplog.records
        assert split_images(few, None, 1) == (few.train, ())
        assert "of 9 training images is no image" in caplog.text and "validation_images" in caplog.text
        caplog.clear()
        assert len(split_images(replace(few, train=benchmark.train[:10]), None, 1)[1]) == 1 and not caplog.records

    def test_numbers(self, benchmark: Benchmark) -> None:
        """A number is held out of the training images in any case; 0 are none; too many are refused."""
        assert [len(part) for part in split_images(benchmark, 20, 1)] == [76, 20]
        assert split_images(benchmark, 0, 1) == (benchmark.train, ())
        assert [len(part) for part in split_images(benchmark, 20, 1, join=True)] == [108, 20]
        with pytest.raises(InputError, match="Of 96 training images 96 cannot be held out"):
            split_images(benchmark, 96, 1)


def test_fingerprint(benchmark: Benchmark) -> None:
    """It follows from the samples, their labels, and the names, words and order of the labels."""
    parts = (benchmark.train, benchmark.validation)
    changed = replace(benchmark.train[3], labels=dict.fromkeys(NAMES, 1))

    found = {
        fingerprint("toy", NAMES, NAMES, parts),
        fingerprint("other", NAMES, NAMES, parts),
        fingerprint("toy", NAMES[::-1], NAMES, parts),
        fingerprint("toy", NAMES, NAMES[::-1], parts),
        fingerprint("toy", NAMES, NAMES, (benchmark.train[:-1], benchmark.validation)),
        fingerprint("toy", NAMES, NAMES, ((*benchmark.train[:3], changed, *benchmark.train[4:]), benchmark.validation)),
    }

    assert len(found) == 6
    assert fingerprint("toy", NAMES, NAMES, parts) in found
