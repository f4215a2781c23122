"""Images to the model's arrays: every accepted kind, every refused one, and the one resize."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.preprocess import Preprocessing, image_array, load_source, resize
from mambapro.runtime.data.sample import ImageSource
from PIL import Image

HALF = (0.5, 0.5, 0.5)
PRE = Preprocessing(16, 8, HALF, HALF)


def noise(*shape, dtype=np.uint8, high=256):
    """Seeded noise of that shape."""
    return np.random.default_rng(5).integers(0, high, shape, dtype)


def encoded(array, kind):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


class TestResize:
    def test_size_is_height_then_width(self):
        """(16, 8) is 16 rows of 8 pixels."""
        assert resize(Image.new("RGB", (40, 30)), (16, 8), "bilinear").size == (8, 16)

    def test_same_size_changes_nothing(self):
        """An array of the model's size comes back as it was."""
        array = noise(16, 8, 3)

        np.testing.assert_array_equal(image_array(array, PRE), array)

    def test_shrinking_averages_all_pixels(self):
        """One white row in four makes a quarter of white: the filter widens, no pixel is skipped."""
        stripes = np.zeros((64, 8, 3), np.uint8)
        stripes[::4] = 255

        found = image_array(stripes, PRE)[4:-4]

        assert abs(found.mean() - 255 / 4) < 1
        assert np.ptp(found) <= 2

    def test_filters_differ(self):
        """bicubic is not bilinear, so the metadata's filter matters."""
        image = Image.fromarray(noise(33, 17, 3))

        assert np.any(np.asarray(resize(image, (16, 8), "bilinear")) != np.asarray(resize(image, (16, 8), "bicubic")))

    def test_unknown_filter_is_refused(self):
        """InputError lists the filters."""
        with pytest.raises(InputError, match="bilinear, bicubic, not 'area'"):
            resize(Image.new("RGB", (4, 4)), (2, 2), "area")


class TestArrays:
    @pytest.mark.parametrize("shape", [(20, 10), (20, 10, 1)])
    def test_grey_is_repeated_on_three_channels(self, shape):
        """uint8 (H, W) and (H, W, 1) equal the colour image with three equal channels."""
        grey = noise(*shape)
        colour = np.repeat(grey.reshape(20, 10, 1), 3, axis=2)

        np.testing.assert_array_equal(image_array(grey, PRE), image_array(colour, PRE))

    def test_strided_arrays_are_taken(self):
        """A view with negative strides is the image that it shows, for example BGR turned into RGB."""
        array = noise(20, 10, 3)

        np.testing.assert_array_equal(image_array(array[:, :, ::-1], PRE), image_array(array[:, :, ::-1].copy(), PRE))

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4, 3), np.float32),
            np.zeros((4, 4, 3), bool),
            np.zeros((4, 4), np.int32),
            np.zeros((4, 4, 3), np.uint16),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((3, 4, 4), np.uint8),
            np.zeros((4, 4, 2), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((4, 0), np.uint16),
            np.zeros(4, np.uint8),
            np.zeros((1, 4, 4, 3), np.uint8),
        ],
        ids=lambda array: f"{array.dtype}-{'x'.join(map(str, array.shape))}",
    )
    def test_other_arrays_are_refused(self, array):
        """InputError shows type and shape, and what to do."""
        with pytest.raises(InputError, match=f"An image array must be uint8.*{array.dtype}"):
            image_array(array, PRE)

    @pytest.mark.parametrize("thing", [None, 3, [[0]]])
    def test_what_is_no_image_is_refused(self, thing):
        """InputError names the type."""
        with pytest.raises(InputError, match=f"not {type(thing).__name__}"):
            image_array(thing, PRE)


class TestSixteenBit:
    def test_full_range_is_the_default(self):
        """0 becomes 0, 65535 becomes 255, and 257 steps are one."""
        thermal = np.array([[0, 257], [65535, 128]], np.uint16)
        pre = replace(PRE, height=2, width=2)

        assert image_array(thermal, pre)[:, :, 0].tolist() == [[0, 1], [255, 0]]

    def test_own_range_is_linear(self):
        """low becomes 0, high 255, and halves go to the even neighbour."""
        thermal = np.array([[28000, 28510], [28001, 28003]], np.uint16)
        pre = replace(PRE, height=2, width=2, sixteen_bit_range=(28000, 28510))

        assert image_array(thermal, pre)[:, :, 2].tolist() == [[0, 255], [0, 2]]

    @pytest.mark.parametrize("value", [999, 2001])
    def test_value_outside_the_range_is_refused_not_clipped(self, value):
        """InputError tells the values found, the range, and how to set another."""
        thermal = np.full((4, 4), 1500, np.uint16)
        thermal[1, 2] = value

        with pytest.raises(
            InputError, match=r"outside sixteen_bit_range \(1000, 2000\).*never clipped.*sixteen_bit_range="
        ):
            image_array(thermal, replace(PRE, sixteen_bit_range=(1000, 2000)))

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_files_are_scaled_like_arrays(self, tmp_path, suffix):
        """16-bit PNG and TIFF files give what their array gives."""
        thermal = noise(20, 10, dtype=np.uint16, high=65536)
        path = tmp_path / f"thermal.{suffix}"
        Image.fromarray(thermal).save(path)

        np.testing.assert_array_equal(image_array(path, PRE), image_array(thermal, PRE))

    def test_mode_i_images_are_scaled_too(self):
        """Older Pillow opens 16-bit PNGs as 32-bit mode I; the values decide, not the mode."""
        thermal = noise(20, 10, dtype=np.uint16, high=65536)

        found = image_array(Image.fromarray(thermal.astype(np.int32)), PRE)

        np.testing.assert_array_equal(found, image_array(thermal, PRE))

    def test_negative_values_of_mode_i_are_refused(self):
        """InputError for what no 16-bit file can hold."""
        with pytest.raises(InputError, match="from -1 to 0"):
            image_array(Image.fromarray(np.array([[-1, 0]], np.int32)), PRE)

    def test_colour_source_is_loaded_with_the_range(self, tmp_path):
        """load_source takes the range as well, for readers that bypass Preprocessing."""
        path = tmp_path / "x.png"
        Image.fromarray(np.array([[100, 300]], np.uint16)).save(path)

        image = load_source(ImageSource(path), (100, 300))

        assert image.mode == "RGB"
        assert np.asarray(image)[0, :, 1].tolist() == [0, 255]


class TestFiles:
    def test_path_text_and_source_are_the_same(self, tmp_path):
        """str, Path and ImageSource give one array."""
        path = tmp_path / "x.png"
        path.write_bytes(encoded(noise(30, 20, 3), "PNG"))

        found = [image_array(kind, PRE) for kind in (path, str(path), ImageSource(path))]

        assert all(np.array_equal(found[0], one) for one in found[1:])

    def test_box_is_cropped_before_the_resize(self, tmp_path):
        """The box is (left, top, right, bottom)."""
        array = noise(16, 24, 3)
        path = tmp_path / "strip.png"
        path.write_bytes(encoded(array, "PNG"))

        found = image_array(ImageSource(path, (8, 0, 16, 16)), PRE)

        np.testing.assert_array_equal(found, array[:, 8:16])

    @pytest.mark.parametrize("box", [(8, 0, 25, 16), (-1, 0, 8, 16), (8, 0, 8, 16), (0, 9, 8, 4)])
    def test_box_that_leaves_the_image_is_refused(self, tmp_path, box):
        """InputError instead of Pillow's black border."""
        path = tmp_path / "strip.png"
        path.write_bytes(encoded(noise(16, 24, 3), "PNG"))

        with pytest.raises(InputError, match="24 x 16 pixels, which does not hold the box"):
            load_source(ImageSource(path, box))

    def test_orientation_tag_is_not_applied(self, tmp_path):
        """EXIF orientation is left alone, as in training."""
        array = noise(16, 8, 3)
        exif = Image.Exif()
        exif[0x0112] = 3
        path = tmp_path / "turned.png"
        Image.fromarray(array).save(path, exif=exif)

        np.testing.assert_array_equal(image_array(path, PRE), array)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
    def test_truncated_file_is_refused_by_name(self, tmp_path, kind):
        """InputError although the header, and so the size, can be read."""
        content = encoded(noise(60, 40, 3), kind)
        path = tmp_path / "cut.img"
        path.write_bytes(content[: len(content) // 2])

        with pytest.raises(InputError, match=r"cut\.img"):
            image_array(path, PRE)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "is an empty file"), (b"hello", "is not an image of a format that is read: JPEG")],
    )
    def test_file_that_is_no_image_is_refused_by_name(self, tmp_path, content, message):
        """InputError tells an empty file from a foreign one."""
        path = tmp_path / "bad.jpg"
        path.write_bytes(content)

        with pytest.raises(InputError, match=rf"bad\.jpg {message}"):
            image_array(path, PRE)

    def test_missing_file_and_folder_are_refused_by_name(self, tmp_path):
        """InputError for a path that holds no file."""
        with pytest.raises(InputError, match=r"no image .*gone\.jpg"):
            image_array(tmp_path / "gone.jpg", PRE)
        with pytest.raises(InputError, match="is a folder, not a regular file"):
            image_array(tmp_path, PRE)

    def test_lazy_pil_image_of_a_truncated_file_is_refused(self, tmp_path):
        """InputError for an image that was opened, but not decoded, by the caller."""
        content = encoded(noise(60, 40, 3), "JPEG")
        path = tmp_path / "cut.jpg"
        path.write_bytes(content[: len(content) // 2])

        with Image.open(path) as image, pytest.raises(InputError, match=r"cut\.jpg cannot be decoded"):
            image_array(image, PRE)

    @pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
    def test_damaged_bytes_never_raise_anything_else(self, tmp_path, monkeypatch):
        """Of 300 spoilt files each one either decodes or is an InputError."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
        rng = np.random.default_rng(0)
        originals = [encoded(noise(24, 16, 3), kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")]
        path = tmp_path / "x"
        refused = 0
        for i in range(300):
            content = bytearray(originals[i % len(originals)])
            for _ in range(int(rng.integers(1, 12))):
                content[int(rng.integers(0, min(len(content), 400)))] = int(rng.integers(0, 256))
            path.write_bytes(content)
            try:
                image_array(path, PRE)
            except InputError:
                refused += 1

        assert refused > 50

    def test_huge_image_is_refused(self, tmp_path):
        """InputError for a header that promises 3.6 gigapixels."""
        content = bytearray(encoded(noise(4, 4, 3), "BMP"))
        content[18:26] = (60_000).to_bytes(4, "little") * 2
        path = tmp_path / "bomb.bmp"
        path.write_bytes(content)

        with pytest.raises(InputError, match=r"bomb\.bmp has 60000 x 60000 pixels, .* at most 67,108,864"):
            image_array(path, PRE)


class TestModes:
    @pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
    def test_modes_are_converted_as_in_training(self, mode):
        """What Pillow's convert("RGB") makes of an image is what the model sees."""
        image = Image.fromarray(noise(16, 8, 3)).convert(mode)

        np.testing.assert_array_equal(image_array(image, PRE), np.asarray(image.convert("RGB")))

    def test_opaque_alpha_is_dropped(self):
        """An alpha channel of 255 throughout says nothing."""
        array = noise(16, 8, 3)
        image = Image.fromarray(array)
        image.putalpha(255)

        np.testing.assert_array_equal(image_array(image, PRE), array)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparent_pixels_are_refused(self, mode):
        """InputError, since the background is unknown."""
        with pytest.raises(InputError, match="transparent"):
            image_array(Image.new(mode, (8, 16)), PRE)

    @pytest.mark.parametrize("mode", ["F", "LAB", "HSV"])
    def test_foreign_modes_are_refused(self, mode):
        """InputError names the mode."""
        with pytest.raises(InputError, match=f"mode '{mode}'"):
            image_array(Image.new(mode, (8, 16)), PRE)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": -1},
        {"std": (0.5, 0.0, 0.5)},
        {"mean": (float("nan"), 0.5, 0.5)},
        {"resize": "lanczos"},
        {"antialias": False},
        {"normalized_in_graph": False},
        {"sixteen_bit_range": (10, 10)},
        {"sixteen_bit_range": (0, 65536)},
        {"sixteen_bit_range": (-1, 5)},
    ],
    ids=str,
)
def test_impossible_preprocessing_is_refused(change):
    """InputError when a Preprocessing is made with values that cannot be meant."""
    with pytest.raises(InputError):
        replace(PRE, **change)


class TestTransparency:
    """What is behind transparent pixels is not known, in whatever way a file says that they are."""

    @staticmethod
    def _file(image, transparency):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", transparency=transparency)
        return buffer.getvalue()

    @pytest.mark.parametrize("opaque", [True, False])
    def test_palettes_with_alpha(self, opaque):
        """One transparent entry that is used is an error; entries that are all opaque, or unused, are not."""
        image = Image.fromarray(noise(16, 8, 3)).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
        alpha = bytes([255] * 16 if opaque else [255] * 15 + [0])
        content = self._file(image, alpha)

        if opaque:
            np.testing.assert_array_equal(image_array(content, PRE), np.asarray(image.convert("RGB")))
        else:
            with pytest.raises(InputError, match="transparent pixels"):
                image_array(content, PRE)

    @pytest.mark.parametrize("mode", ["L", "P", "RGB"])
    def test_one_transparent_colour(self, mode):
        """A colour that stands for nothing is an error where a pixel has it, and no matter where none has."""
        grey = np.tile(np.arange(8, dtype=np.uint8) * 20, (16, 1))
        image = Image.fromarray(grey).convert(mode)
        used, unused = ((60, 60, 60), (61, 0, 0)) if mode == "RGB" else (int(np.asarray(image)[0, 3]), 255)

        with pytest.raises(InputError, match="transparent pixels"):
            image_array(self._file(image, used), PRE)
        np.testing.assert_array_equal(image_array(self._file(image, unused), PRE), np.asarray(image.convert("RGB")))

    def test_half_transparent_grey(self):
        """Grey with alpha is refused by one pixel of 254."""
        pixels = np.dstack([noise(16, 8), np.full((16, 8), 255, np.uint8)])
        opaque = Image.fromarray(pixels, "LA")
        pixels[15, 7, 1] = 254

        assert image_array(opaque, PRE).shape == (16, 8, 3)
        with pytest.raises(InputError, match="transparent pixels"):
            image_array(Image.fromarray(pixels, "LA"), PRE)


class TestEdges:
    @pytest.mark.parametrize("box", [(16, 0, 24, 16), (0, 0, 8, 16), (0, 0, 24, 16), (23, 15, 24, 16)])
    def test_a_box_may_touch_the_edges(self, tmp_path, box):
        """right and bottom are the first pixels outside: the whole width and height belong to the image."""
        array = noise(16, 24, 3)
        path = tmp_path / "strip.png"
        path.write_bytes(encoded(array, "PNG"))
        left, top, right, bottom = box

        found = np.asarray(load_source(ImageSource(path, box)))

        np.testing.assert_array_equal(found, array[top:bottom, left:right])

    @pytest.mark.parametrize("box", [(16, 0, 25, 16), (0, 0, 8, 17)])
    def test_one_pixel_further_is_outside(self, tmp_path, box):
        """Both edges are exact."""
        path = tmp_path / "strip.png"
        path.write_bytes(encoded(noise(16, 24, 3), "PNG"))

        with pytest.raises(InputError, match="does not hold the box"):
            load_source(ImageSource(path, box))

    @pytest.mark.parametrize("filter_name", ["bilinear", "bicubic"])
    def test_the_filter_is_pillows_of_that_name(self, filter_name):
        """Each name is its own filter, and Preprocessing's is the one that is used."""
        array = noise(33, 17, 3)
        pillows = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[filter_name]

        found = image_array(array, replace(PRE, resize=filter_name))

        np.testing.assert_array_equal(found, np.asarray(Image.fromarray(array).resize((8, 16), pillows)))

    @pytest.mark.parametrize(
        ("value", "grey"), [(1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (7, 4), (509, 254), (510, 255)]
    )
    def test_values_are_rounded_to_the_nearest_even(self, value, grey):
        """Half a grey goes to the even neighbour, neither up nor down; the ends of the range are its own."""
        thermal = np.array([[0, value, 510]], np.uint16)
        pre = replace(PRE, height=1, width=3, sixteen_bit_range=(0, 510))

        assert image_array(thermal, pre)[0, :, 0].tolist() == [0, grey, 255]

    @pytest.mark.parametrize("value", [6999, 9001])
    def test_one_value_beyond_the_range_is_refused(self, value):
        """By one count on either side, in an image of any size."""
        thermal = np.full((300, 40), 8000, np.uint16)
        thermal[299, 39] = value

        with pytest.raises(InputError, match="outside sixteen_bit_range"):
            image_array(thermal, replace(PRE, sixteen_bit_range=(7000, 9000)))
