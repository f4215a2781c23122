"""Embeddings of what can be read: the rest of a batch, and why the others were left out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.partial import SkippedSample, embed_readable
from PIL import Image


@pytest.fixture
def extractor(bundle):
    """Two samples at a time."""
    with Extractor(bundle, device="cpu", batch_size=2) as opened:
        yield opened


def test_good_samples_get_their_embeddings(extractor, images):
    """An empty crop, a missing file and a sample without images are left out; the others are as without them."""
    rgb, tir = list(images["rgb"]), list(images["tir"])
    rgb[1] = np.zeros((0, 8, 3), np.uint8)
    tir[4] = "gone.jpg"
    rgb[2] = tir[2] = None

    found = embed_readable(extractor, rgb, tir=tir, cameras=[0, 1, 2, None, 1])

    assert found.kept.tolist() == [0, 3]
    expected = extractor([rgb[0], rgb[3]], tir=[tir[0], tir[3]], cameras=[0, -1])
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
    assert [(one.sample, one.sensor) for one in found.skipped] == [(1, "rgb"), (2, ""), (4, "tir")]
    assert "all at least 1" in found.skipped[0].reason
    assert found.skipped[1] == SkippedSample(2, "", "no sensor has an image")
    assert "no image gone.jpg" in found.skipped[2].reason


def test_all_good_is_the_call(extractor, images):
    """Without bad images it is an Extractor's call."""
    found = embed_readable(extractor, images["rgb"], images["nir"], images["tir"], 1, normalize=False)

    expected = extractor(images["rgb"], images["nir"], images["tir"], 1, normalize=False)
    np.testing.assert_array_equal(found.embeddings, expected)
    assert found.kept.tolist() == [0, 1, 2, 3, 4]
    assert found.skipped == ()


def test_none_good_is_an_empty_result(extractor):
    """Nothing is left: no rows, and every sample is told."""
    found = embed_readable(extractor, [b"", b"x"])

    assert found.embeddings.shape == (0, extractor.dim)
    assert len(found.skipped) == 2


def test_arguments_are_still_checked(extractor, images):
    """InputError for what no single image is to blame for."""
    with pytest.raises(InputError, match="different numbers of images"):
        embed_readable(extractor, images["rgb"], images["nir"][:2])
    with pytest.raises(InputError, match="cameras must be"):
        embed_readable(extractor, images["rgb"], cameras=[1])


def test_the_strict_call_names_all_bad_images_of_a_batch(bundle, images):
    """InputError with the samples and sensors of the batch in which the first was found."""
    rgb = [b"", images["rgb"][1], b"x", images["rgb"][3]]

    with Extractor(bundle, device="cpu", batch_size=4) as extractor:
        with pytest.raises(InputError, match=r"(?s)2 images of one batch.*Sample 0, rgb.*empty.*Sample 2, rgb"):
            extractor(rgb)
        with pytest.raises(InputError, match=r"^Sample 0, rgb: "):
            extractor(rgb[:2])


@pytest.mark.parametrize("wrap", [list, tuple])
def test_encoded_images_are_lists_and_single_ones(extractor, images, tmp_path, wrap):
    """Bytes and open files are images, alone and in a list."""
    files = []
    for array in images["rgb"]:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        files.append(buffer)
    expected = extractor(images["rgb"])

    np.testing.assert_array_equal(extractor(wrap(files)), expected)
    np.testing.assert_array_equal(extractor(wrap(file.getvalue() for file in files)), expected)
    np.testing.assert_allclose(extractor(files[0]), expected[:1], atol=1e-6)
    np.testing.assert_allclose(extractor(files[0].getvalue()), expected[:1], atol=1e-6)


def test_iterators_are_told_what_to_do(extractor, images):
    """InputError names the kind and says how to make a list of it."""
    with pytest.raises(InputError, match=r"rgb is an iterator \(generator\).*list\(images\)"):
        extractor(image for image in images["rgb"])


@pytest.mark.parametrize("cameras", [[0, None, 2, None, 1], (0, None, 2, -1, 1), np.array([0, None, 2, None, 1])])
def test_none_is_an_unknown_camera(extractor, images, cameras):
    """In a list, too."""
    expected = extractor(images["rgb"], cameras=[0, -1, 2, -1, 1])

    np.testing.assert_array_equal(extractor(images["rgb"], cameras=cameras), expected)


def test_limits_of_decoding_are_arguments(bundle, images):
    """An Extractor has its own limit of pixels, and its own answer to cut files."""
    buffer = io.BytesIO()
    Image.fromarray(images["rgb"][0]).save(buffer, "BMP")
    cut = buffer.getvalue()[:-150]

    with (
        Extractor(bundle, device="cpu", max_image_pixels=127) as small,
        pytest.raises(InputError, match="has 8 x 16 pixels, 128 in all; at most 127"),
    ):
        small(buffer)
    with Extractor(bundle, device="cpu", max_image_pixels=128, accept_truncated=True) as accepting:
        assert accepting([buffer, cut]).shape == (2, accepting.dim)
    with Extractor(bundle, device="cpu") as usual, pytest.raises(InputError, match=r"Sample 1, rgb.*cannot be decoded"):
        usual([buffer, cut])
    with pytest.raises(InputError, match="max_image_pixels must be"):
        Extractor(bundle, device="cpu", max_image_pixels=0)
