"""Samples made of folders: names that agree, names that nearly do, and names that never do."""

from __future__ import annotations

import os
import unicodedata

import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.pairing import image_files, paired_files


@pytest.fixture
def make(tmp_path):
    """make(sensor, *names) -> folder with empty files of these names."""

    def folder(sensor, *names):
        made = tmp_path / sensor
        made.mkdir(exist_ok=True)
        for name in names:
            (made / name).touch()
        return made

    return folder


def test_names_pair_up_to_the_suffix(make):
    """Each name is a sample; a sensor without the name has None."""
    found = paired_files({"rgb": make("rgb", "b.jpg", "a.JPG"), "tir": make("tir", "a.png", "c.tif")})

    assert found.names == ("a", "b", "c")
    assert [path and path.name for path in found.files["rgb"]] == ["a.JPG", "b.jpg", None]
    assert [path and path.name for path in found.files["tir"]] == ["a.png", None, "c.tif"]


def test_sensors_without_a_common_name_are_refused(make):
    """InputError names the sensor and an example of each; on request each image is a sample of its own."""
    given = {"rgb": make("rgb", "1_rgb.jpg"), "nir": make("nir", "1_rgb.jpg"), "tir": make("tir", "1_tir.jpg")}

    with pytest.raises(InputError, match=r"No image of tir has the name.*rgb 1_rgb.*tir 1_tir.*--unpaired"):
        paired_files(given)

    assert paired_files(given, unpaired=True).names == ("1_rgb", "1_tir")


def test_one_sensor_and_empty_ones_need_no_common_name(make):
    """There is nothing to pair."""
    assert paired_files({"rgb": make("rgb", "a.jpg")}).names == ("a",)
    assert paired_files({"rgb": make("rgb", "a.jpg"), "tir": make("tir")}).names == ("a",)


def test_unicode_forms_of_a_name_are_one_sample(make):
    """A name whose letters are composed and the same decomposed pair, called as the first sensor calls it."""
    composed, decomposed = (unicodedata.normalize(form, "caméra_é") for form in ("NFC", "NFD"))
    assert composed != decomposed

    found = paired_files({"rgb": make("rgb", f"{decomposed}.jpg"), "tir": make("tir", f"{composed}.jpg")})

    assert found.names == (decomposed,)
    assert None not in (*found.files["rgb"], *found.files["tir"])


def test_two_forms_of_a_name_in_one_folder_are_refused(make):
    """InputError: it is not clear which one is meant."""
    names = (f"{unicodedata.normalize(form, 'é')}.jpg" for form in ("NFC", "NFD"))

    with pytest.raises(InputError, match="rgb has more than one image of the name"):
        image_files("rgb", make("rgb", *names))


def test_case_variants_are_told(make, caplog):
    """Names that differ in case only stay two samples, with a warning; nothing is said of others."""
    found = paired_files({"rgb": make("rgb", "a.jpg", "IMG_1.jpg"), "tir": make("tir", "a.jpg", "img_1.jpg")})

    assert found.names == ("IMG_1", "a", "img_1")
    assert "1 names differ only in upper and lower case" in caplog.text
    assert "IMG_1 and img_1" in caplog.text


def test_what_is_no_regular_file_is_refused(make, tmp_path):
    """InputError for a FIFO, folder or dangling link that is called like an image, unless reading is to tell."""
    folder = make("rgb", "a.jpg")
    os.mkfifo(folder / "fifo.jpg")
    (folder / "folder.png").mkdir()
    (folder / "link.jpg").symlink_to(tmp_path / "nowhere")

    with pytest.raises(InputError, match=r"no regular file: .*fifo\.jpg, .*folder\.png, .*link\.jpg"):
        image_files("rgb", folder)

    assert sorted(image_files("rgb", folder, odd=True)) == ["a", "fifo", "folder", "link"]


def test_links_to_files_are_followed(make, tmp_path):
    """A link to an image is an image."""
    (tmp_path / "store.jpg").touch()
    folder = make("rgb")
    (folder / "a.jpg").symlink_to(tmp_path / "store.jpg")

    assert list(image_files("rgb", folder)) == ["a"]
