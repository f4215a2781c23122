"""Batches: parts, subsets and a model's feeds; files that hold several images of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.tensors import TensorInfo
from mambapro.runtime.data import rgb_conversion
from mambapro.runtime.data.batch import CAMERA, IMAGE, MODALITY_MASK, Batch
from mambapro.runtime.data.decoding import decode
from mambapro.runtime.data.modalities import MODALITIES, SUBSETS, subsets_of
from mambapro.runtime.data.preprocess import Preprocessing, load_sources
from mambapro.runtime.data.sample import ImageSource
from PIL import Image

PRE = Preprocessing(4, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
INPUTS = (
    *(TensorInfo(m, IMAGE, "uint8", ("batch", 4, 2, 3), "") for m in ("tir", "rgb")),
    TensorInfo("cam", CAMERA, "int32", ("batch",), ""),
    TensorInfo("mask", MODALITY_MASK, "float16", ("batch", 2), ""),
)


@pytest.fixture
def batch() -> Batch:
    """Five samples of three sensors; the third has no TIR image."""
    random = np.random.default_rng(0)
    images = {m: random.integers(1, 256, (5, 4, 2, 3), dtype=np.uint8) for m in MODALITIES}
    mask = np.ones((5, 3), np.float32)
    mask[2, 2] = 0
    return Batch(images, mask, np.arange(5))


class TestFeeds:
    def test_are_the_inputs_by_role(self, batch: Batch) -> None:
        """Images by name, cameras and mask in their types, the mask's columns in the order of the image inputs."""
        feeds = batch.feeds(INPUTS)

        assert list(feeds) == ["tir", "rgb", "cam", "mask"]
        assert [feeds[name].dtype.name for name in feeds] == ["uint8", "uint8", "int32", "float16"]
        assert feeds["rgb"] is batch.images["rgb"] and feeds["cam"].tolist() == [0, 1, 2, 3, 4]
        assert feeds["mask"].tolist() == [[1, 1], [1, 1], [0, 1], [1, 1], [1, 1]]

    def test_images_by_modality(self, batch: Batch) -> None:
        """An image input of another name gets the images of its modality."""
        image = TensorInfo("image", IMAGE, "uint8", ("batch", 4, 2, 3), "", "tir")

        assert batch[:2].feeds([image])["image"].tolist() == batch.images["tir"][:2].tolist()

    def test_without_a_mask_every_image_is_needed(self, batch: Batch) -> None:
        """A model without input for the mask takes complete samples only, of its own sensors."""
        with pytest.raises(InputError, match=r"image of every sensor \(tir, rgb\)"):
            batch.feeds(INPUTS[:3])

        assert list(batch.feeds(INPUTS[1:3])) == ["rgb", "cam"]
        assert list(batch[:2].feeds(INPUTS[:3])) == ["tir", "rgb", "cam"]


class TestRows:
    def test_parts_are_the_batch(self, batch: Batch) -> None:
        """Parts of two samples hold all rows in order."""
        parts = list(batch.parts(2))

        assert [len(part) for part in parts] == [2, 2, 1]
        np.testing.assert_array_equal(np.concatenate([part.images["nir"] for part in parts]), batch.images["nir"])
        assert np.concatenate([part.cameras for part in parts]).tolist() == [0, 1, 2, 3, 4]

    def test_padding_repeats_the_last_sample(self, batch: Batch) -> None:
        """Too few samples are filled up, enough of them are left alone."""
        padded = batch[:3].padded(5)

        assert padded.cameras.tolist() == [0, 1, 2, 2, 2] and padded.mask[4].tolist() == [1, 1, 0]
        np.testing.assert_array_equal(padded.images["rgb"][4], batch.images["rgb"][2])
        assert batch.padded(5) is batch

    def test_only_some_sensors(self, batch: Batch) -> None:
        """The other sensors are black and masked; nothing is done where all are asked for."""
        rest = batch.only(("nir", "tir"))

        assert rest.mask.tolist() == [[0, 1, 1], [0, 1, 1], [0, 1, 0], [0, 1, 1], [0, 1, 1]]
        assert not rest.images["rgb"].any() and rest.present == ("nir", "tir")
        assert batch.only(MODALITIES) is batch and batch.images["rgb"].any()


def test_subsets_are_computed() -> None:
    """All non-empty sets of any modalities, the complete one first and then by size."""
    assert subsets_of(("a", "b")) == (("a", "b"), ("a",), ("b",))
    assert [len(subset) for subset in SUBSETS] == [3, 2, 2, 2, 1, 1, 1]


def test_a_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes of one file are cut out of one decoded image; a missing image is black and masked."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "strip.png")
    sources = {m: ImageSource(tmp_path / "strip.png", (2 * i, 0, 2 * i + 2, 4)) for i, m in enumerate(MODALITIES)}
    opened: list[Path] = []
    original = rgb_conversion.open_image
    monkeypatch.setattr(
        rgb_conversion, "open_image", lambda path, settings: opened.append(path) or original(path, settings)
    )

    batch, bad = decode([sources, {"nir": sources["nir"]}], np.array([0, 1]), MODALITIES, PRE)
    loaded = load_sources(sources)

    assert len(opened) == 3 and not bad
    assert batch.mask.tolist() == [[1, 1, 1], [0, 1, 0]]
    for i, modality in enumerate(MODALITIES):
        np.testing.assert_array_equal(batch.images[modality][0], pixels[:, 2 * i : 2 * i + 2])
        np.testing.assert_array_equal(np.asarray(loaded[i]), pixels[:, 2 * i : 2 * i + 2])
    assert not batch.images["rgb"][1].any()
