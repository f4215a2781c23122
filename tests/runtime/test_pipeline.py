"""Embeddings and attributes of the same crops: equal to the models alone, one decode for each image."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from mambapro import AttributeRecognizer, Extractor, Pipeline
from mambapro.errors import InputError
from mambapro.runtime.data import preprocess, rgb_conversion
from mambapro.runtime.data.sample import ImageSource, Sample
from PIL import Image


@pytest.fixture
def models(bundle: Path, attribute_bundle: Path):
    """An extractor and a recognizer with batches of different sizes."""
    with (
        Extractor(bundle, "cpu", batch_size=2) as extractor,
        AttributeRecognizer(attribute_bundle, "cpu", batch_size=3) as recognizer,
    ):
        yield extractor, recognizer


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    """Five samples with an image of each sensor."""
    rng = np.random.default_rng(5)
    paths = {sensor: [tmp_path / f"{sensor}{i}.png" for i in range(5)] for sensor in ("rgb", "nir", "tir")}
    for path in [path for each in paths.values() for path in each]:
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), np.uint8)).save(path)
    return paths


def test_records_are_those_of_the_models(models, files) -> None:
    """Embeddings and attributes are what the extractor and the recognizer return, in either order of the models."""
    extractor, recognizer = models
    images = files["rgb"], files["nir"], files["tir"]

    found = Pipeline([recognizer, extractor])(*images, cameras=[0, 1, 2, 3, None])

    wanted, attributes = extractor(*images, cameras=[0, 1, 2, 3, None]), recognizer(files["rgb"])
    np.testing.assert_allclose(found.embeddings, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.attributes.probabilities, attributes.probabilities, rtol=0, atol=1e-6)
    assert len(found) == 5 and [record.names for record in found] == [attributes.names(i) for i in range(5)]
    np.testing.assert_array_equal(found[-1].embedding, found.embeddings[4])
    assert found[1].probabilities == found.attributes.by_label(1)
    assert len(found[1:3]) == 2 and found[1:3][0].names == found[1].names
    with pytest.raises(IndexError):
        found[5]


def test_each_image_is_decoded_once(models, files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, bytes and streams are decoded once for both models."""
    decoded = []
    opened = rgb_conversion.open_image
    for module in (preprocess, rgb_conversion):
        monkeypatch.setattr(module, "open_image", lambda *given: decoded.append(given[0]) or opened(*given))
    pipeline = Pipeline(models)

    pipeline(files["rgb"], files["nir"])
    assert sorted(decoded) == sorted([*files["rgb"], *files["nir"]])

    decoded.clear()
    with open(files["rgb"][0], "rb") as stream:
        pipeline([files["rgb"][1].read_bytes(), stream])
    assert len(decoded) == 2


def test_models_with_other_ranges_of_16_bits(bundle: Path, attribute_bundle: Path, tmp_path: Path) -> None:
    """A 16-bit image is decoded once and scaled by the range of each model."""
    values = np.random.default_rng(6).integers(100, 900, (30, 20)).astype(np.uint16)
    path = tmp_path / "wide.png"
    Image.fromarray(values).save(path)
    with (
        Extractor(bundle, "cpu", sixteen_bit_range=(0, 1000)) as extractor,
        AttributeRecognizer(attribute_bundle, "cpu", sixteen_bit_range=(50, 950)) as recognizer,
    ):
        found = Pipeline([extractor, recognizer])([path, values, path.read_bytes()])
        alone = extractor([path] * 3), recognizer([path] * 3)

    np.testing.assert_allclose(found.embeddings, alone[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.attributes.probabilities, alone[1].probabilities, rtol=0, atol=1e-6)


def test_without_rgb_there_is_an_embedding_alone(models, files) -> None:
    """A crop without RGB has an embedding and no attributes; one that lacks another sensor has both."""
    extractor, recognizer = models
    rgb, nir = [files["rgb"][0], None, files["rgb"][2]], [None, files["nir"][1], files["nir"][2]]

    found = Pipeline(models)(rgb, nir)

    np.testing.assert_allclose(found.embeddings, extractor(rgb, nir), rtol=0, atol=1e-6)
    assert found.attributes.present.tolist() == [True, False, True]
    assert found[1].probabilities is None and found[1].names == ()
    np.testing.assert_allclose(
        found.attributes.probabilities[[0, 2]], recognizer([rgb[0], rgb[2]]).probabilities, rtol=0, atol=1e-6
    )


def test_samples_hold_their_sensors_and_cameras(models, files) -> None:
    """Samples and mappings by sensor are taken as the images in separate lists."""
    crops = [
        Sample("a", {sensor: ImageSource(paths[0]) for sensor, paths in files.items()}, camera=2),
        {"nir": files["nir"][1]},
        files["rgb"][2],
    ]

    found = Pipeline(models)(crops)

    wanted = Pipeline(models)(
        [files["rgb"][0], None, files["rgb"][2]],
        [files["nir"][0], files["nir"][1], None],
        [files["tir"][0], None, None],
        cameras=[2, None, None],
    )
    np.testing.assert_array_equal(found.embeddings, wanted.embeddings)
    np.testing.assert_array_equal(found.attributes.probabilities, wanted.attributes.probabilities)
    with pytest.raises(InputError, match="nir and tir are given a second time"):
        Pipeline(models)(crops, files["nir"][:3])


def test_one_model_alone(models, files) -> None:
    """A pipeline of one model returns its half; crops of other sensors have no attributes."""
    extractor, recognizer = models

    embedded, recognized = Pipeline([extractor])(files["rgb"]), Pipeline([recognizer])(nir=files["nir"])

    assert embedded.attributes is None and embedded[0].probabilities is None
    np.testing.assert_allclose(embedded.embeddings, extractor(files["rgb"]), rtol=0, atol=1e-6)
    assert recognized.embeddings is None and recognized[0].embedding is None
    assert not recognized.attributes.present.any() and len(recognized) == 5


def test_no_crops(models) -> None:
    """An empty list has no records, in arrays of the right shape."""
    found = Pipeline(models)([])

    assert len(found) == 0 and found.embeddings.shape == (0, 12) and found.attributes.probabilities.shape == (0, 6)


def test_unusable_models_and_images(models, files, tmp_path: Path) -> None:
    """InputError names the kinds of the models, the sample without image, and the unreadable file."""
    extractor, recognizer = models
    for wrong in ([], [extractor, extractor], [extractor, recognizer, "x"]):
        with pytest.raises(InputError, match="an Extractor, an AttributeRecognizer, or one of each"):
            Pipeline(wrong)
    with pytest.raises(InputError, match="No sensor of rgb, nir, tir has an image of sample 1"):
        Pipeline(models)([files["rgb"][0], None])
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"Sample 1, rgb: .*bad\.png is not an image"):
        Pipeline(models)([files["rgb"][0], tmp_path / "bad.png"])


def test_pickled(models, files) -> None:
    """A copy in another process opens the bundles of the models again."""
    wanted = Pipeline(models)(files["rgb"])

    with pickle.loads(pickle.dumps(Pipeline(models))) as copy:
        found = copy(files["rgb"])

    np.testing.assert_array_equal(found.embeddings, wanted.embeddings)
    np.testing.assert_array_equal(found.attributes.probabilities, wanted.attributes.probabilities)


def test_bad_images_of_later_batches(models, files, tmp_path: Path) -> None:
    """Skipped and bad samples have their own numbers in every batch; the others are as without them."""
    pipeline = Pipeline(models)
    (tmp_path / "bad.png").write_bytes(b"x")
    rgb = [*files["rgb"][:4], tmp_path / "bad.png", *files["rgb"][4:]]

    batches = list(pipeline.batches(pipeline.samples(rgb), frozenset([3]), skip_bad=True))

    assert [batch.rows.tolist() for batch in batches] == [[0, 1, 2], [5]]
    assert [(image.sample, image.sensor) for batch in batches for image in batch.bad] == [(4, "rgb")]
    found = batches[1].records.attributes.probabilities
    np.testing.assert_allclose(found, models[1](files["rgb"][4]).probabilities, rtol=0, atol=1e-6)


def test_closed_with_its_models(bundle: Path, attribute_bundle: Path, files) -> None:
    """At the end of the block both models are closed."""
    with Pipeline([Extractor(bundle, "cpu"), AttributeRecognizer(attribute_bundle, "cpu")]) as pipeline:
        pipeline(files["rgb"])

    with pytest.raises(InputError, match="closed"):
        pipeline(files["rgb"])
