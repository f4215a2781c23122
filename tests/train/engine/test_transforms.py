"""Training augmentation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mambapro.train.engine.transforms import Augmentation, Geometry, TrainTransform, draw_geometry, flip_and_crop

SIZE = (32, 16)
PLAIN = Augmentation(flip=0.0, padding=0, erase=0.0)


@pytest.fixture
def images() -> np.ndarray:
    """Three different uint8 images without any 0."""
    return np.random.default_rng(0).integers(1, 256, (3, *SIZE, 3), dtype=np.uint8)


def draws(settings: Augmentation, count: int = 2000) -> list[Geometry]:
    random = np.random.default_rng(1)
    return [draw_geometry(SIZE, settings, random) for _ in range(count)]


class TestFlipAndCrop:
    @pytest.mark.parametrize("flip", [False, True])
    @pytest.mark.parametrize(("top", "left"), [(0, 0), (4, 4), (8, 8), (1, 7)])
    def test_equals_padded_crop(self, images: np.ndarray, flip: bool, top: int, left: int) -> None:
        """The result is the window at (top, left) of the mirrored, zero-padded image."""
        mirrored = images[0][:, ::-1] if flip else images[0]
        padded = np.pad(mirrored, ((4, 4), (4, 4), (0, 0)))

        out = flip_and_crop(images[0], Geometry(flip, top, left, None), 4)

        np.testing.assert_array_equal(out, padded[top : top + SIZE[0], left : left + SIZE[1]])

    def test_padding_larger_than_image(self, images: np.ndarray) -> None:
        """A window that misses the image is black."""
        out = flip_and_crop(images[0], Geometry(False, 0, 0, None), 40)

        assert not out.any()


class TestGeometry:
    def test_ranges(self) -> None:
        """Crops reach every offset 0..2 x padding, and half of the images are mirrored and half erased."""
        drawn = draws(Augmentation(padding=3), 20_000)

        assert {geometry.top for geometry in drawn} == {geometry.left for geometry in drawn} == set(range(7))
        assert np.mean([geometry.flip for geometry in drawn]) == pytest.approx(0.5, abs=0.02)
        assert np.mean([geometry.box is not None for geometry in drawn]) == pytest.approx(0.5, abs=0.02)

    def test_boxes(self) -> None:
        """Boxes lie inside the image, within the ranges of area and aspect but for rounding."""
        size = (256, 128)
        random = np.random.default_rng(2)
        boxes = [draw_geometry(size, Augmentation(erase=1.0), random).box for _ in range(2000)]

        shapes = np.array([(top, left, height, width) for top, left, height, width in filter(None, boxes)])
        areas = shapes[:, 2] * shapes[:, 3] / (size[0] * size[1])
        aspects = shapes[:, 2] / shapes[:, 3]
        assert (shapes[:, :2] >= 0).all()
        assert (shapes[:, :2] + shapes[:, 2:] <= size).all()
        assert 0.019 < areas.min() < 0.03 and 0.31 < areas.max() < 0.34
        # The flattest boxes of the larger areas do not fit an upright image and are drawn again.
        assert 0.29 < aspects.min() < 0.35 and 3.1 < aspects.max() < 3.45

    def test_aspect_is_log_uniform(self) -> None:
        """Small boxes are as often upright as lying."""
        settings = Augmentation(erase=1.0, erase_area=(0.02, 0.03))
        boxes = [geometry.box for geometry in draws(settings) if geometry.box]

        assert np.mean([box[2] > box[3] for box in boxes]) == pytest.approx(0.5, abs=0.1)

    def test_aspect_is_height_over_width(self) -> None:
        """A range from 2 to 3 gives boxes two to three times as high as wide, but for rounding."""
        random = np.random.default_rng(3)
        for low, high in ((2.0, 3.0), (1 / 3, 1 / 2)):
            settings = Augmentation(erase=1.0, erase_area=(0.04, 0.06), erase_aspect=(low, high))
            boxes = [draw_geometry((400, 400), settings, random).box for _ in range(300)]

            aspects = [box[2] / box[3] for box in boxes if box is not None]
            assert len(aspects) == 300
            assert 0.97 * low < min(aspects) < 1.1 * low and 0.9 * high < max(aspects) < 1.03 * high

    def test_box_that_never_fits(self) -> None:
        """After ten tries that do not fit the image is left whole."""
        settings = Augmentation(erase=1.0, erase_area=(1.0, 1.0), erase_aspect=(1.0, 1.0))

        assert all(geometry.box is None for geometry in draws(settings, 10))


class TestTransform:
    def test_normalisation(self, images: np.ndarray) -> None:
        """Without augmentation the result is (value / 255 - mean) / std, channels first."""
        transform = TrainTransform(PLAIN, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))

        out = transform(images, np.random.default_rng(0))

        expected = (images / 255 - (0.5, 0.4, 0.3)) / (0.5, 0.25, 0.2)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, expected.transpose(0, 3, 1, 2), atol=1e-6)

    def test_reproducible(self, images: np.ndarray) -> None:
        """The same generator state gives the same sample, another one another, and the input stays as it was."""
        transform, before = TrainTransform(Augmentation()), images.copy()

        first, second, other = (transform(images, np.random.default_rng(seed)) for seed in (4, 4, 5))

        np.testing.assert_array_equal(first, second)
        assert (first != other).any()
        np.testing.assert_array_equal(images, before)

    def test_modalities_independent(self) -> None:
        """Equal images of one sample come out differently, unless the geometry is shared."""
        same = np.broadcast_to(np.random.default_rng(0).integers(1, 256, (*SIZE, 3), dtype=np.uint8), (3, *SIZE, 3))
        own, shared = (TrainTransform(Augmentation(erase=0.0, shared=flag)) for flag in (False, True))

        equal = {
            name: sum(bool((out[0] == out[1]).all() and (out[1] == out[2]).all()) for out in samples)
            for name, samples in {
                "own": [own(same, np.random.default_rng(seed)) for seed in range(20)],
                "shared": [shared(same, np.random.default_rng(seed)) for seed in range(20)],
            }.items()
        }

        assert equal == {"own": 0, "shared": 20}

    def test_erased_box_holds_unit_noise(self) -> None:
        """The erased box is N(0, 1) noise per pixel and channel, at one place for all three when shared."""
        settings = Augmentation(flip=0.0, padding=0, erase=1.0, erase_area=(0.3, 0.33), shared=True)
        white = np.full((3, 128, 64, 3), 255, dtype=np.uint8)

        out = TrainTransform(settings)(white, np.random.default_rng(0))

        erased = out != 1.0
        noise = out[erased]
        assert 0.29 < erased.mean() < 0.34
        assert (erased == erased[0, 0]).all()
        assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
        assert len(np.unique(noise)) > 0.99 * noise.size

    def test_a_window_beside_the_image_is_black(self, images: np.ndarray) -> None:
        """Padding far beyond the image's sides leaves windows that hold nothing of it, on every side."""
        image = np.full_like(images[0], 255)
        far = max(image.shape[:2]) + 5

        for top, left in itertools.product((0, far, 2 * far), repeat=2):
            found = flip_and_crop(image, Geometry(False, top, left, None), far)
            assert found.all() == (top == left == far)
            assert found.any() == (top == left == far)

    def test_padding_is_black(self, images: np.ndarray) -> None:
        """What the crop takes from outside the image is black, not mid-grey."""
        transform = TrainTransform(Augmentation(flip=0.0, padding=100, erase=0.0))

        out = transform(images, np.random.default_rng(0))

        assert (out == -1.0).mean() > 0.5
