"""Embeddings of folders: pairing by name, missing images, and a file that is whole or absent."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.extraction import camera_from_name, extract_folders
from mambapro.runtime.extractor import Extractor
from PIL import Image

NAMES = ("0001_cam1", "0002_cam4", "0003_cam2")


@pytest.fixture
def extractor(bundle):
    """Two samples at a time."""
    with Extractor(bundle, device="cpu", batch_size=2) as opened:
        yield opened


@pytest.fixture
def folders(tmp_path):
    """A folder per sensor with three images; TIR is PNG, the others JPEG."""
    rng = np.random.default_rng(1)
    made = {}
    for modality, suffix in (("rgb", "jpg"), ("nir", "JPG"), ("tir", "png")):
        made[modality] = tmp_path / modality
        made[modality].mkdir()
        for name in NAMES:
            Image.fromarray(rng.integers(0, 256, (20, 10, 3), np.uint8)).save(made[modality] / f"{name}.{suffix}")
    return made


def test_images_pair_by_name_whatever_the_suffix(extractor, folders, tmp_path):
    """The file holds names, embeddings, cameras and the fingerprint, readable without pickle."""
    report = extract_folders(extractor, folders, tmp_path / "f.npz", cameras_from=camera_from_name(r"cam(\d)", first=1))

    with np.load(tmp_path / "f.npz", allow_pickle=False) as content:
        names, embeddings, cameras = content["names"], content["embeddings"], content["cameras"]
        fingerprint, artifact = str(content["fingerprint"]), str(content["artifact"])
    assert artifact == report.artifact == "onnxruntime-fp32"
    assert tuple(names) == NAMES
    assert cameras.tolist() == [0, 3, 1]
    assert fingerprint == extractor.metadata.fingerprint
    paths = ([next(folders[m].glob(f"{name}.*")) for name in NAMES] for m in ("rgb", "nir", "tir"))
    np.testing.assert_array_equal(embeddings, extractor(*paths, [0, 3, 1]))
    assert report.missing == {"rgb": 0, "nir": 0, "tir": 0}
    assert json.loads(json.dumps(report.to_json()))["samples"] == 3


def test_unknown_cameras_are_told(extractor, folders, tmp_path, caplog):
    """Names that count from 1 are noticed; nothing is said where all are known, or none was asked for."""
    extract_folders(extractor, folders, tmp_path / "a.npz", cameras_from=camera_from_name(r"cam(\d)", first=1))
    extract_folders(extractor, folders, tmp_path / "b.npz")
    assert "camera numbers" not in caplog.text

    extract_folders(extractor, folders, tmp_path / "c.npz", cameras_from=camera_from_name(r"cam(\d)"))

    assert "1 of 3 camera numbers are none of the model's, which are 0 to 3" in caplog.text


def test_nothing_is_written_into_a_bundle(extractor, bundle, folders):
    """InputError even with overwrite: its model would be gone."""
    inside = bundle / "model.onnx"
    before = inside.read_bytes()

    with pytest.raises(InputError, match="lies in the bundle"):
        extract_folders(extractor, folders, inside, overwrite=True)
    assert inside.read_bytes() == before


def test_missing_images_are_counted_and_masked(extractor, folders, tmp_path):
    """A sensor without a folder is missing for all, a missing file for its sample only."""
    (folders["nir"] / "0002_cam4.JPG").unlink()

    report = extract_folders(extractor, {"rgb": folders["rgb"], "nir": folders["nir"]}, tmp_path / "f.npz")

    with np.load(tmp_path / "f.npz") as content:
        found = content["embeddings"]
    rgb = folders["rgb"] / "0002_cam4.jpg"
    assert report.missing == {"rgb": 0, "nir": 1, "tir": 3}
    assert "nir 1, tir 3" in str(report)
    np.testing.assert_allclose(found[1], extractor(rgb)[0], atol=1e-6)


def test_lists_of_files_are_taken(extractor, folders, tmp_path):
    """A list of paths stands in for a folder."""
    report = extract_folders(extractor, {"rgb": sorted(folders["rgb"].iterdir())[:2]}, tmp_path / "f.npz")

    assert report.samples == 2


@pytest.mark.parametrize("given", [{}, {"rgb": []}])
def test_nothing_to_extract_is_refused(extractor, tmp_path, given):
    """InputError says what was expected, and no file is written."""
    with pytest.raises(InputError, match=r"no images to extract.*\.jpg.*same name"):
        extract_folders(extractor, given, tmp_path / "f.npz")
    assert not (tmp_path / "f.npz").exists()


def test_folder_without_images_is_refused(extractor, folders, tmp_path):
    """InputError for a folder that only holds other files and folders; hidden files do not count."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    (empty / ".hidden.jpg").write_text("x")

    with pytest.raises(InputError, match=r"rgb .*empty"):
        extract_folders(extractor, {"rgb": empty}, tmp_path / "f.npz")


def test_two_images_of_one_name_are_refused(extractor, folders, tmp_path):
    """InputError, since it is not clear which one is meant."""
    Image.new("RGB", (4, 4)).save(folders["tir"] / "0001_cam1.bmp")

    with pytest.raises(InputError, match="tir has more than one image of the name 0001_cam1"):
        extract_folders(extractor, folders, tmp_path / "f.npz")


def test_unreadable_image_leaves_nothing_behind(extractor, folders, tmp_path):
    """InputError names the file, and neither the output nor a temporary file is there."""
    (folders["nir"] / "0003_cam2.JPG").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(InputError, match=r"0003_cam2\.JPG is an empty file"):
        extract_folders(extractor, folders, tmp_path / "f.npz")

    assert sorted(tmp_path.rglob("*")) == before


class TestSkipBad:
    def test_the_rest_is_written_and_the_bad_ones_are_listed(self, extractor, folders, tmp_path, caplog):
        """Names and embeddings of the readable samples, cameras with them, and a list with file and reason."""
        (folders["nir"] / "0002_cam4.JPG").write_bytes(b"")
        expected = extract_folders(
            extractor,
            {m: [p for p in sorted(f.iterdir()) if "0002" not in p.name] for m, f in folders.items()},
            tmp_path / "rest.npz",
        )

        report = extract_folders(
            extractor, folders, tmp_path / "f.npz", camera_from_name(r"cam(\d)", first=1), skip_bad=True
        )

        with np.load(tmp_path / "f.npz") as content, np.load(tmp_path / "rest.npz") as rest:
            assert content["names"].tolist() == ["0001_cam1", "0003_cam2"]
            assert content["cameras"].tolist() == [0, 1]
            assert content["embeddings"].shape == rest["embeddings"].shape
        listed = json.loads((tmp_path / "f.skipped.json").read_text())
        assert (listed["schema"], listed["samples"]) == ("mambapro.skipped/1", 3)
        (one,) = listed["skipped"]
        assert (one["name"], one["sensor"]) == ("0002_cam4", "nir")
        assert one["file"] == str(folders["nir"] / "0002_cam4.JPG")
        assert "empty file" in one["reason"]
        assert (report.samples, expected.samples, report.missing) == (2, 2, {"rgb": 0, "nir": 0, "tir": 0})
        assert "1 of 3 samples skipped: 0002_cam4" in str(report)
        assert "1 of 3 samples skipped" in caplog.text

    def test_a_list_is_written_where_all_is_well(self, extractor, folders, tmp_path):
        """An empty list, so that an older one is never taken for this result's."""
        extract_folders(extractor, folders, tmp_path / "f.npz", skip_bad=True)

        assert json.loads((tmp_path / "f.skipped.json").read_text())["skipped"] == []

    def test_nothing_readable_is_an_error(self, extractor, folders, tmp_path):
        """InputError with the first reason, and neither file."""
        for path in folders["rgb"].iterdir():
            path.write_bytes(b"x")

        with pytest.raises(InputError, match=r"None of the 3 samples can be read.*0001_cam1"):
            extract_folders(extractor, {"rgb": folders["rgb"]}, tmp_path / "f.npz", skip_bad=True)
        assert not list(tmp_path.glob("f.*"))

    def test_files_of_others_are_kept(self, extractor, folders, tmp_path):
        """InputError where the list would replace something, and neither file is touched."""
        listing = tmp_path / "f.skipped.json"
        listing.write_text("precious")
        with pytest.raises(InputError, match=r"f\.skipped\.json exists already"):
            extract_folders(extractor, folders, tmp_path / "f.npz", skip_bad=True)
        assert listing.read_text() == "precious"
        assert not (tmp_path / "f.npz").exists()

    def test_a_fifo_is_a_bad_image(self, extractor, folders, tmp_path):
        """It is not opened, which would wait for ever."""
        (folders["tir"] / "0001_cam1.png").unlink()
        os.mkfifo(folders["tir"] / "0001_cam1.png")

        with pytest.raises(InputError, match=r"no regular file: .*0001_cam1\.png"):
            extract_folders(extractor, folders, tmp_path / "f.npz")
        report = extract_folders(extractor, folders, tmp_path / "f.npz", skip_bad=True)

        assert [(one.name, one.sensor) for one in report.skipped] == [("0001_cam1", "tir")]

    def test_without_it_the_option_is_named(self, extractor, folders, tmp_path):
        """InputError tells how to go on."""
        (folders["nir"] / "0002_cam4.JPG").write_bytes(b"")

        with pytest.raises(InputError, match=r"(?s)0002_cam4\.JPG is an empty file.*--skip-bad"):
            extract_folders(extractor, folders, tmp_path / "f.npz")


def test_sensors_without_a_common_name_are_refused(extractor, folders, tmp_path):
    """InputError instead of single-sensor samples, unless they are asked for."""
    for path in list(folders["tir"].iterdir()):
        path.rename(path.with_name(f"t_{path.name}"))

    with pytest.raises(InputError, match="No image of tir has the name of an image of another sensor"):
        extract_folders(extractor, folders, tmp_path / "f.npz")

    assert extract_folders(extractor, folders, tmp_path / "f.npz", unpaired=True).samples == 6


def test_existing_output_is_kept_unless_told(extractor, folders, tmp_path):
    """InputError before any work; with overwrite it is replaced. The name need not end in .npz."""
    out = tmp_path / "features"
    out.write_text("precious")

    with pytest.raises(InputError, match="exists already"):
        extract_folders(extractor, folders, out)
    assert out.read_text() == "precious"
    extract_folders(extractor, folders, out, overwrite=True)

    assert np.load(out)["names"].shape == (3,)


@pytest.mark.parametrize("name", ["f.xlsx", "f.npz.gz"])
def test_other_formats_are_refused(extractor, folders, tmp_path, name):
    """InputError for a name that promises a format that is not written."""
    with pytest.raises(InputError, match=r"written as \.npz, \.parquet, \.csv, \.jsonl, not"):
        extract_folders(extractor, folders, tmp_path / name)

    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["f.npz", "f.skipped.json"])
def test_what_appears_meanwhile_stays(extractor, folders, tmp_path, monkeypatch, name):
    """The usual error, the other's file is untouched, and nothing of this run is left."""

    def appears(writer):
        writer.path.write_bytes(b"ours")
        (tmp_path / name).write_text("theirs")

    monkeypatch.setattr("mambapro.runtime.records.writers.NpzWriter.close", appears)
    with pytest.raises(InputError, match="exists already"):
        extract_folders(extractor, folders, tmp_path / "f.npz", skip_bad=True)

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]
    assert (tmp_path / name).read_text() == "theirs"


@pytest.mark.parametrize(
    ("given", "message"),
    [({"rgb": "nowhere"}, "rgb folder nowhere does not exist"), ({"depth": "x"}, "one of rgb, nir, tir, not 'depth'")],
)
def test_wrong_folder_or_sensor_is_refused(extractor, tmp_path, given, message):
    """InputError names the folder, or the sensors."""
    with pytest.raises(InputError, match=message):
        extract_folders(extractor, given, tmp_path / "f.npz")


def test_strict_cameras_reach_the_extractor(extractor, folders, tmp_path):
    """InputError for the camera numbers that the names hold."""
    with pytest.raises(InputError, match=r"outside the model's table: 4\."):
        extract_folders(
            extractor, folders, tmp_path / "f.npz", cameras_from=camera_from_name(r"cam(\d)"), strict_cameras=True
        )


class TestCameraFromName:
    def test_numbers_are_counted_from_the_first(self):
        """cam1 is camera 0 when the names count from 1."""
        assert camera_from_name(r"_c(\d+)_", first=1)("0502_c0001_000") == 0
        assert camera_from_name(r"_c(\d+)_")("0502_c0001_000") == 1

    @pytest.mark.parametrize("pattern", ["(", "cam", r"(c)(\d)"])
    def test_bad_pattern_is_refused(self, pattern):
        """InputError for no regular expression, and for other than one group."""
        with pytest.raises(InputError, match="camera pattern"):
            camera_from_name(pattern)

    @pytest.mark.parametrize("name", ["0001", "0001_camx", "0001_cam0"])
    def test_name_without_such_a_number_is_refused(self, name):
        """InputError names the file."""
        with pytest.raises(InputError, match=name):
            camera_from_name("cam(.)", first=1)(name)
