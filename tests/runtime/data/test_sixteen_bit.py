"""16-bit images: their ranges by sensor, the scaling, and what is said of ranges that do not fit."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.bundle.metadata import BundleMetadata, fingerprint
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.preprocess import Preprocessing, image_array, load_source
from mambapro.runtime.data.range_survey import survey, survey_folder, tell_ranges
from mambapro.runtime.data.range_watch import RangeWatch
from mambapro.runtime.data.sample import ImageSource
from mambapro.runtime.data.sixteen_bit import canonical, eight_bit
from mambapro.runtime.extractor import Extractor
from PIL import Image

HALF = (0.5, 0.5, 0.5)
PRE = Preprocessing(16, 8, HALF, HALF)


def thermal(seed=0, low=7000, high=9000, shape=(16, 8)):
    """Values of a 14-bit camera."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def reference(values, low, high):
    """The documented scaling, computed plainly in float64."""
    return np.rint((values.astype(np.float64) - low) * 255.0 / (high - low)).astype(np.uint8)


class TestScaling:
    @pytest.mark.parametrize("limits", [(0, 65535), (7000, 9000), (0, 65534), (7000, 7000 + 2 * 255), (6999, 60001)])
    def test_it_is_the_formula_for_every_value(self, limits):
        """Each value of the range becomes rint((v - low) * 255 / (high - low)); nothing is clipped."""
        values = np.arange(limits[0], limits[1] + 1, dtype=np.uint16)[None].repeat(2, axis=0)

        found, seen = eight_bit(values, "x", None, limits)

        np.testing.assert_array_equal(found, reference(values, *limits))
        assert seen == limits

    def test_many_rows_are_those_of_few(self):
        """An image that is scaled in several pieces is whole."""
        values = thermal(shape=(4000, 700), low=0, high=65536)

        np.testing.assert_array_equal(eight_bit(values, "x", None, (0, 65535))[0], reference(values, 0, 65535))

    @pytest.mark.parametrize("order", ["<u2", ">u2"])
    def test_byte_order_of_arrays_does_not_matter(self, order):
        """A big-endian array is the image of its values."""
        pre = replace(PRE, sixteen_bit_range=(6000, 10000))

        found = image_array(thermal().astype(order), pre)

        np.testing.assert_array_equal(found[:, :, 0], reference(thermal(), 6000, 10000))

    @pytest.mark.parametrize("order", ["II", "MM"])
    def test_byte_order_of_files_does_not_matter(self, tmp_path, order):
        """TIFF files of both orders, and a PGM, which is big-endian, hold the values that were written."""
        pre, values = replace(PRE, sixteen_bit_range=(6000, 10000)), thermal()
        path = tmp_path / "x.tif"
        kind = "<u2" if order == "II" else ">u2"
        header = order.encode() + np.array([42], kind).tobytes()
        tags = ((256, 3, 8), (257, 3, 16), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1))
        tags += ((278, 3, 16), (279, 4, 256))
        body = np.array([8], kind.replace("2", "4")).tobytes() + np.array([len(tags)], kind).tobytes()
        for number, form, value in tags:
            wide = np.array([value], kind if form == 3 else kind.replace("2", "4")).tobytes().ljust(4, b"\0")
            body += np.array([number, form], kind).tobytes() + np.array([1], kind.replace("2", "4")).tobytes() + wide
        path.write_bytes((header + body).ljust(122, b"\0") + values.astype(kind).tobytes())
        pgm = b"P5\n8 16\n65535\n" + values.astype(">u2").tobytes()

        for image in (path, pgm):
            np.testing.assert_array_equal(image_array(image, pre)[:, :, 0], reference(values, 6000, 10000))

    def test_a_range_given_for_a_source_is_taken(self, tmp_path):
        """load_source scales a box of a file by the range it is given, else by that of its sensor in the process."""
        values = thermal(shape=(16, 20))
        path = tmp_path / "x.png"
        Image.fromarray(values).save(path)
        source, expected = ImageSource(path, (12, 0, 20, 16)), reference(values[:, 12:], 6000, 10000)

        given = load_source(source, (6000, 10000))
        with using_image_settings(ImageSettings(sixteen_bit_range={"tir": (6000, 10000)})):
            by_sensor = load_source(source, sensor="tir")
            other = load_source(source, sensor="rgb")

        np.testing.assert_array_equal(np.asarray(given)[:, :, 1], expected)
        np.testing.assert_array_equal(np.asarray(by_sensor)[:, :, 1], expected)
        assert np.asarray(other).max() < 40


class TestNothingToSee:
    def test_one_grey_is_refused(self):
        """InputError where different values become one grey, with a range that would do."""
        with pytest.raises(
            InputError, match=r"from 7000 to 70\d\d.*one single grey.*--sixteen-bit-range tir=7000:70\d\d"
        ):
            image_array(thermal(low=7000, high=7060) // 1, PRE, "tir")

    def test_one_value_is_refused(self):
        """InputError for a 16-bit image that is constant, as a file and as an array; 8-bit ones may be."""
        flat = np.full((16, 8), 7500, np.uint16)
        buffer = io.BytesIO()
        Image.fromarray(flat).save(buffer, "PNG")

        for image in (flat, buffer.getvalue()):
            with pytest.raises(InputError, match="the one value 7500 in all of them: it shows nothing"):
                image_array(image, PRE, "tir")
        assert image_array(np.zeros((16, 8), np.uint8), PRE).max() == 0
        assert image_array(np.full((1, 1), 7500, np.uint16), PRE).max() == 29

    def test_wide_pixels_with_eight_bit_values_are_refused(self):
        """InputError for 32-bit pixels from 0 to 255, which would be black; with that range they are an 8-bit image."""
        grey = np.random.default_rng(0).integers(0, 256, (16, 8)).astype(np.int32)
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, "TIFF")

        for image in (Image.fromarray(grey), buffer.getvalue()):
            with pytest.raises(InputError, match=r"32 bits a pixel but values from 0 to 255.*8 bits a pixel"):
                image_array(image, PRE)
            found = image_array(image, replace(PRE, sixteen_bit_range=(0, 255)))
            np.testing.assert_array_equal(found[:, :, 0], grey)


class TestRanges:
    @pytest.mark.parametrize(
        "given", [(0, 4000), [0, 4000], (0.0, 4000.0), np.array([0, 4000]), [np.uint16(0), 4000.0]]
    )
    def test_equal_ranges_are_equal(self, bundle, given):
        """Lists, tuples, arrays and floats of the same numbers make one preprocessing and one fingerprint."""
        with Extractor(bundle, device="cpu", sixteen_bit_range=(0, 4000)) as first:
            wanted = first.fingerprint, first.preprocessing

        with Extractor(bundle, device="cpu", sixteen_bit_range=given) as extractor:
            assert (extractor.fingerprint, extractor.preprocessing) == wanted
        with Extractor(bundle, device="cpu", sixteen_bit_range=dict.fromkeys(MODALITIES, given)) as extractor:
            assert (extractor.fingerprint, extractor.preprocessing) == wanted

    @pytest.mark.parametrize("given", [None, [0, 65535], (0.0, 65535.0), {}, {"tir": (0, 65535)}])
    def test_the_bundles_own_range_changes_nothing(self, bundle, given):
        """Its fingerprint stays, however the range is written."""
        with Extractor(bundle, device="cpu", sixteen_bit_range=given) as extractor:
            assert extractor.fingerprint == extractor.metadata.fingerprint

    def test_a_sensors_range_is_its_own(self, bundle, images):
        """tir is scaled by its range, the others by the bundle's; the fingerprint is another, and always the same."""
        values = thermal(1)
        wide = thermal(2, 0, 65536)
        with Extractor(bundle, device="cpu", sixteen_bit_range={"tir": (6000, 10000)}) as extractor:
            found, changed = extractor(nir=wide, tir=values), extractor.fingerprint
            expected = extractor(nir=reference(wide, 0, 65535), tir=reference(values, 6000, 10000))
            own = extractor.metadata.fingerprint
        settings = ImageSettings(sixteen_bit_range={"tir": (6000, 10000)})
        with using_image_settings(settings), Extractor(bundle, device="cpu") as extractor:
            assert extractor.fingerprint == changed != own
        with Extractor(bundle, device="cpu", sixteen_bit_range={"rgb": (6000, 10000)}) as extractor:
            assert extractor.fingerprint not in (changed, own)

        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize(
        "given", [(5, 5), (0, 65536), (-1, 5), (0.5, 9), "05", (1,), 7, (True, 9), {"depth": (0, 9)}, {"tir": (9, 0)}]
    )
    def test_impossible_ranges_are_refused(self, bundle, given):
        """InputError tells what a range is, or which sensors there are."""
        with pytest.raises(InputError, match="sixteen_bit_range"):
            Extractor(bundle, device="cpu", sixteen_bit_range=given)

    def test_one_way_to_write_them(self):
        """The range of most sensors is the common one; the order of the sensors decides a tie."""
        a, b, c = (0, 1), (0, 2), (0, 3)

        assert canonical({"rgb": a, "nir": a, "tir": b}) == (a, {"tir": b})
        assert canonical({"rgb": b, "nir": a, "tir": a}) == (a, {"rgb": b})
        assert canonical({"rgb": c, "nir": a, "tir": b}) == (c, {"nir": a, "tir": b})

    def test_metadata_hold_ranges_by_sensor(self, small_metadata):
        """Written where there are any, read again, refused where impossible; without them nothing is written."""
        ranged = replace(
            small_metadata, preprocessing=small_metadata.preprocessing.with_ranges({"tir": [7000, 9000]}, MODALITIES)
        )
        text = json.loads(json.dumps(ranged.to_json()))

        assert text["preprocessing"]["sensor_ranges"] == {"tir": [7000, 9000]}
        assert BundleMetadata.from_json(text) == ranged
        text["preprocessing"]["sensor_ranges"] = {"tir": [9000, 7000]}
        with pytest.raises(ArtifactError, match="sixteen_bit_range must be two whole numbers"):
            BundleMetadata.from_json(text)

    def test_bundles_without_them_are_what_they_were(self, small_metadata):
        """The fields and the fingerprint of a preprocessing without ranges by sensor are those of older versions."""
        names = ["height", "width", "mean", "std", "resize", "antialias", "sixteen_bit_range", "normalized_in_graph"]

        assert list(small_metadata.to_json()["preprocessing"]) == names
        # computed by the version before there were any
        assert fingerprint("0" * 64, Preprocessing(16, 8, HALF, HALF), {"dim": 12}) == OLD_FINGERPRINT


OLD_FINGERPRINT = "9128c307f7f20184478dfe7a12c617b52c8505fd06c21754552177ada0aa8eff"


class TestWatch:
    def test_a_sliver_is_told_once_by_sensor(self, bundle, caplog):
        """A batch of 14-bit images in the full range: the sensor, the values, the greys and the option are named."""
        frames = [thermal(seed, 7004, 8005) for seed in range(3)]
        with Extractor(bundle, device="cpu") as extractor:
            extractor(tir=frames)
            extractor(tir=frames)
            extractor(nir=[thermal(seed, 0, 65536) for seed in range(3)])

        assert caplog.text.count("16-bit values of the") == 1
        for part in ("tir images are 700", "of the range 0 to 65535", "the model sees 5 of 256 gray levels"):
            assert part in caplog.text
        assert "--sixteen-bit-range tir=65" in caplog.text

    def test_a_range_that_fits_is_not_told(self, bundle, caplog):
        """Nothing is said where the values use the range, or where all images of a batch do together."""
        with Extractor(bundle, device="cpu", sixteen_bit_range={"tir": (7000, 9000)}) as extractor:
            extractor(tir=[thermal(0, 7000, 7060), thermal(0, 8900, 9000)])

        assert "16-bit" not in caplog.text

    def test_a_sixteenth_is_enough(self, caplog):
        """The limit is one sixteenth of the range."""
        watch = RangeWatch()
        watch.add("nir", 0, 4096, (0, 65535))
        watch.add("tir", 0, 4095, (0, 65535))
        watch.tell()

        assert "tir" in caplog.text
        assert "nir" not in caplog.text


class TestSurvey:
    @pytest.fixture
    def folder(self, tmp_path):
        """tir/ with 14-bit images, one of them damaged, and rgb/ with ordinary ones."""
        for sensor in ("rgb", "tir"):
            (tmp_path / sensor).mkdir()
        for i in range(3):
            Image.fromarray(thermal(i, 7004, 8005)).save(tmp_path / "tir" / f"{i}.png")
            Image.new("RGB", (8, 16)).save(tmp_path / "rgb" / f"{i}.jpg")
        (tmp_path / "tir" / "9.png").write_bytes(b"")
        return tmp_path

    def test_values_are_those_of_the_files(self, folder):
        """Smallest and largest of the 16-bit images; None where all have 8 bits."""
        low = min(int(thermal(i, 7004, 8005).min()) for i in range(3))
        high = max(int(thermal(i, 7004, 8005).max()) for i in range(3))

        assert survey_folder(folder) == {"rgb": None, "tir": (low, high)}
        assert survey([]) is None

    def test_a_range_is_proposed_that_holds_them(self, folder, caplog):
        """The proposal holds all values with room on both sides, and fits by its own rule."""
        caplog.set_level(logging.INFO)
        found = survey_folder(folder)

        better = tell_ranges(found, PRE)

        assert list(better) == ["tir"]
        assert better["tir"][0] < found["tir"][0] < found["tir"][1] < better["tir"][1]
        assert f"--sixteen-bit-range tir={better['tir'][0]}:{better['tir'][1]}" in caplog.text
        caplog.clear()
        assert tell_ranges(found, PRE.with_ranges(better, MODALITIES)) == {}
        assert "fit the range" in caplog.text

    def test_values_outside_are_told(self, folder):
        """A range that does not hold the values is no range that fits."""
        assert "tir" in tell_ranges(survey_folder(folder), replace(PRE, sixteen_bit_range=(0, 7500)))

    def test_a_folder_without_sensors_is_refused(self, tmp_path):
        """InputError names what was looked for."""
        with pytest.raises(InputError, match="has no folder rgb, nir, tir"):
            survey_folder(tmp_path)
