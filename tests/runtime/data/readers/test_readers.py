"""The three benchmark readers: conventions, order, and what is said about folders that do not fit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.readers import msvr310, rgbnt100, rgbnt201
from mambapro.runtime.data.readers.benchmarks import benchmark_info, benchmarks_of, read_benchmark
from mambapro.runtime.data.sample import ImageSource
from mambapro.runtime.data.task_names import RE_IDENTIFICATION
from PIL import Image

#: The tests are of the readers of re-identification.
BENCHMARKS = benchmarks_of(RE_IDENTIFICATION)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def strip(path: Path, size: tuple[int, int] = (768, 128)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def make_rgbnt201(root: Path) -> Path:
    names = {"train_171": ["000002_cam1_0_00", "000001_cam4_0_01"], "test": ["000258_cam1_0_00", "000258_cam2_0_00"]}
    folder = root / "RGBNT201"
    touch(*(folder / s / m / f"{n}.jpg" for s in names for m in ("RGB", "NI", "TI") for n in names[s]))
    return folder


def make_rgbnt100(root: Path) -> Path:
    folder = root / "RGBNT100" / "rgbir"
    strip(folder / "bounding_box_train" / "0001_c0008_000.jpg")
    strip(folder / "query" / "0502_c0001_000.jpg")
    strip(folder / "bounding_box_test" / "0502_c0001_000.jpg")
    strip(folder / "bounding_box_test" / "0502_c0002_001.jpg")
    return folder


def make_msvr310(root: Path) -> Path:
    folder = root / "msvr310"
    names = {
        "bounding_box_train": ["0001_s001_v7_000"],
        "query3": ["0002_s002_v0_000"],
        "bounding_box_test": ["0002_s002_v0_000", "0002_s014_v3_001"],
    }
    touch(*(folder / s / n[:4] / m / f"{n}.jpg" for s in names for m in ("vis", "ni", "th") for n in names[s]))
    return folder


MAKERS = {"rgbnt201": make_rgbnt201, "rgbnt100": make_rgbnt100, "msvr310": make_msvr310}


class TestConventions:
    def test_rgbnt201(self, tmp_path):
        """Identity, camera and files come from the name; query and gallery are the whole test folder."""
        folder = make_rgbnt201(tmp_path)

        benchmark = read_benchmark("rgbnt201", tmp_path)

        assert [(s.name, s.identity, s.camera, s.scene) for s in benchmark.train] == [
            ("000001_cam4_0_01", 1, 3, -1),
            ("000002_cam1_0_00", 2, 0, -1),
        ]
        assert benchmark.query == benchmark.gallery
        assert benchmark.query[0].sources == {
            m: ImageSource(folder / "test" / name / "000258_cam1_0_00.jpg")
            for m, name in zip(MODALITIES, ("RGB", "NI", "TI"), strict=True)
        }
        assert (benchmark.junk, benchmark.image_size) == ("camera", (256, 128))

    def test_rgbnt100(self, tmp_path):
        """A sample is three boxes of one strip, in the order rgb, nir, tir."""
        folder = make_rgbnt100(tmp_path)

        benchmark = read_benchmark("rgbnt100", tmp_path)

        (query,) = benchmark.query
        path = folder / "query" / "0502_c0001_000.jpg"
        assert (query.identity, query.camera, query.scene) == (502, 0, -1)
        assert query.sources == {
            m: ImageSource(path, (x, 0, x + 256, 128)) for m, x in zip(MODALITIES, (0, 256, 512), strict=True)
        }
        assert [s.camera for s in benchmark.gallery] == [0, 1]
        assert [s.camera for s in benchmark.train] == [7]
        assert (benchmark.junk, benchmark.image_size) == ("camera", (128, 256))

    def test_msvr310(self, tmp_path):
        """The view, not shifted, is the camera; the scene is read and names the junk."""
        make_msvr310(tmp_path)

        benchmark = read_benchmark("msvr310", tmp_path)

        assert [(s.identity, s.camera, s.scene) for s in benchmark.gallery] == [(2, 0, 2), (2, 3, 14)]
        assert [(s.identity, s.camera, s.scene) for s in benchmark.train] == [(1, 7, 1)]
        assert [source.path.parent.name for source in benchmark.query[0].sources.values()] == ["vis", "ni", "th"]
        assert (benchmark.junk, benchmark.image_size) == ("scene", (128, 256))

    def test_rgbnt100_reads_the_name_not_the_path(self, tmp_path):
        """A folder whose name looks like an identity and a camera changes nothing."""
        root = tmp_path / "123_c4"
        make_rgbnt100(root)

        assert {s.identity for s in read_benchmark("rgbnt100", root).gallery} == {502}

    @pytest.mark.parametrize("name", MAKERS)
    def test_order_is_that_of_the_names(self, tmp_path, name):
        """Samples are sorted by name within a split, whatever the order on disk."""
        MAKERS[name](tmp_path)

        for split in (read_benchmark(name, tmp_path).train, read_benchmark(name, tmp_path).gallery):
            assert [s.name for s in split] == sorted(s.name for s in split)

    @pytest.mark.parametrize("name", MAKERS)
    def test_root_may_be_the_folder_itself(self, tmp_path, name):
        """Each folder on the way to the splits reads the same as the root above it."""
        inner = MAKERS[name](tmp_path)
        whole = read_benchmark(name, tmp_path)

        while inner != tmp_path:
            assert read_benchmark(name, inner) == whole
            inner = inner.parent

    def test_letter_case_of_suffixes(self, tmp_path):
        """JPG, Jpeg and PNG are images as well as jpg."""
        folder = tmp_path / "RGBNT201"
        for split, name in (("train_171", "000001_cam1_0_00.JPG"), ("test", "000258_cam1_0_00.Jpeg")):
            touch(*(folder / split / modality / name for modality in ("RGB", "NI", "TI")))
        touch(*(folder / "test" / modality / "000258_cam2_0_01.PNG" for modality in ("RGB", "NI", "TI")))

        benchmark = read_benchmark("rgbnt201", tmp_path)

        assert [sample.identity for sample in (*benchmark.train, *benchmark.query)] == [1, 258, 258]

    @pytest.mark.parametrize("name", MAKERS)
    def test_other_files_are_ignored(self, tmp_path, name):
        """Hidden files, thumbnail databases and notes beside the images are no samples."""
        folder = MAKERS[name](tmp_path)
        before = read_benchmark(name, tmp_path)

        for image in list(folder.rglob("*.jpg")):
            touch(*(image.parent / other for other in ("Thumbs.db", "._" + image.name, ".DS_Store", "list.txt")))
        touch(tmp_path / "README.txt", folder / "readme.md")

        assert read_benchmark(name, tmp_path) == before


class TestNames:
    @pytest.mark.parametrize("name", ["000258_cam0_0_00.jpg", "00258_cam1_0_00.jpg", "a.jpg", "000258_cam12_0_00.jpg"])
    def test_rgbnt201_refuses(self, name):
        """Fewer than six digits, camera 0 and two-digit cameras do not parse."""
        assert rgbnt201.parse_name(name) is None

    @pytest.mark.parametrize(
        "name", ["0000_c0001_0.jpg", "0601_c0001_0.jpg", "0001_c0009_0.jpg", "0001_c0000_0.jpg", "-1_c0001.jpg"]
    )
    def test_rgbnt100_refuses(self, name):
        """Identities outside 1..600 and cameras outside 1..8 do not parse."""
        assert rgbnt100.parse_name(name) is None

    @pytest.mark.parametrize("name", ["0002_s002_v8_000.jpg", "0002_s02_v0_000.jpg", "x002_s002_v0_000.jpg"])
    def test_msvr310_refuses(self, name):
        """Views above 7 and fields of another length do not parse."""
        assert msvr310.parse_name(name) is None

    @pytest.mark.parametrize("name", MAKERS)
    def test_bad_names_are_named(self, tmp_path, name):
        """A file whose name cannot be parsed is named, with the rule."""
        folder = MAKERS[name](tmp_path)
        for image in list(folder.rglob("*.jpg")):
            image.rename(image.with_name("holiday.jpg"))

        with pytest.raises(InputError, match=r"holiday\.jpg.* Expected .*like") as caught:
            read_benchmark(name, tmp_path)
        assert caught.value.exit_code == 2


class TestLayout:
    @pytest.mark.parametrize("name", MAKERS)
    def test_missing_root(self, tmp_path, name):
        """A root that does not exist is named, with the layout expected."""
        with pytest.raises(InputError, match=r"does not exist.*is expected as"):
            read_benchmark(name, tmp_path / "nowhere")

    @pytest.mark.parametrize("name", MAKERS)
    def test_root_is_a_file(self, tmp_path, name):
        """A file in the place of the root is told from a missing one."""
        touch(tmp_path / "data.zip")

        with pytest.raises(InputError, match="is not a folder"):
            read_benchmark(name, tmp_path / "data.zip")

    @pytest.mark.parametrize("name", MAKERS)
    def test_empty_root(self, tmp_path, name):
        """An empty folder is called empty."""
        with pytest.raises(InputError, match=r"is expected as .* is empty"):
            read_benchmark(name, tmp_path)

    @pytest.mark.parametrize("name", MAKERS)
    def test_other_contents_are_listed(self, tmp_path, name):
        """A folder with something else in it: says what it holds."""
        touch(tmp_path / "photos" / "a.jpg")

        with pytest.raises(InputError, match="holds photos/"):
            read_benchmark(name, tmp_path)

    @pytest.mark.parametrize(("name", "split"), [("rgbnt201", "test"), ("rgbnt100", "query"), ("msvr310", "query3")])
    def test_missing_split(self, tmp_path, name, split):
        """A split folder that is not there is named."""
        folder = MAKERS[name](tmp_path)
        (folder / split).rename(tmp_path / "elsewhere")

        with pytest.raises(InputError, match=f"has no {split};"):
            read_benchmark(name, tmp_path)

    @pytest.mark.parametrize("name", MAKERS)
    def test_split_without_images(self, tmp_path, name):
        """A split folder without images is an error, not an empty benchmark."""
        folder = MAKERS[name](tmp_path)
        for image in (folder / BENCHMARKS_TRAIN[name]).rglob("*.jpg"):
            image.unlink()

        with pytest.raises(InputError, match=r"holds no images. Expected"):
            read_benchmark(name, tmp_path)

    def test_two_readings(self, tmp_path):
        """A root that is the data set and holds it as well is refused."""
        make_rgbnt201(tmp_path)
        (tmp_path / "train_171").mkdir()

        with pytest.raises(InputError, match="two ways"):
            read_benchmark("rgbnt201", tmp_path)

    @pytest.mark.parametrize(("name", "modality"), [("rgbnt201", "NI"), ("rgbnt201", "RGB"), ("msvr310", "th")])
    def test_missing_image(self, tmp_path, name, modality):
        """A sample without one of its three files is named, also when it is the RGB one that is missing."""
        folder = MAKERS[name](tmp_path)
        victim = next(iter(sorted(folder.rglob(f"{modality}/*.jpg"))))
        victim.unlink()

        with pytest.raises(InputError, match=r"1 image file\(s\) are missing") as caught:
            read_benchmark(name, tmp_path)
        assert str(victim) in str(caught.value)

    def test_missing_modality_folder(self, tmp_path):
        """A modality folder that is not there is named."""
        folder = make_rgbnt201(tmp_path)
        (folder / "test" / "TI").rename(tmp_path / "TI")

        with pytest.raises(InputError, match="test/TI is missing"):
            read_benchmark("rgbnt201", tmp_path)

    def test_ten_names_are_shown(self, tmp_path):
        """Of many missing files ten are named and the others counted."""
        folder = make_rgbnt201(tmp_path)
        touch(*(folder / "test" / "RGB" / f"000300_cam1_0_{i:02d}.jpg" for i in range(20)))

        with pytest.raises(InputError, match=r"40 image file\(s\).*and 30 more"):
            read_benchmark("rgbnt201", tmp_path)

    def test_strips_of_another_size(self, tmp_path):
        """Strips that the fixed boxes would cut wrongly are refused with their size."""
        folder = make_rgbnt100(tmp_path)
        strip(folder / "query" / "0502_c0001_000.jpg", (384, 128))

        with pytest.raises(InputError, match=r"384x128.*768x128"):
            read_benchmark("rgbnt100", tmp_path)

    def test_unreadable_strip(self, tmp_path):
        """A strip of zero bytes is named."""
        folder = make_rgbnt100(tmp_path)
        (folder / "query" / "0502_c0001_000.jpg").write_bytes(b"")

        with pytest.raises(InputError, match=r"0502_c0001_000\.jpg is an empty file"):
            read_benchmark("rgbnt100", tmp_path)


BENCHMARKS_TRAIN = {"rgbnt201": "train_171", "rgbnt100": "bounding_box_train", "msvr310": "bounding_box_train"}


class TestInfo:
    def test_published_numbers(self):
        """Sizes, cameras, identities and junk rules are those of the papers."""
        facts = {i.name: (i.image_size, i.cameras, i.identities, i.junk) for i in BENCHMARKS.values()}

        assert facts == {
            "rgbnt201": ((256, 128), 4, 171, "camera"),
            "rgbnt100": ((128, 256), 8, 50, "camera"),
            "msvr310": ((128, 256), 8, 155, "scene"),
        }

    def test_unknown_name(self):
        """An unknown name lists the three and suggests the nearest."""
        with pytest.raises(InputError, match=r"rgbnt201, rgbnt100, msvr310.*Did you mean 'rgbnt201'"):
            benchmark_info("RGBNT-201")


class TestDevices:
    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_the_training_part_need_not_be_there(self, tmp_path, name):
        """Query and gallery are read without it on request; else it is missed by name."""
        folder = MAKERS[name](tmp_path)
        whole = read_benchmark(name, tmp_path)
        train = next(path for path in folder.iterdir() if "train" in path.name)
        shutil.rmtree(train)

        found = read_benchmark(name, tmp_path, test_only=True)

        assert (found.train, found.query, found.gallery) == ((), whole.query, whole.gallery)
        with pytest.raises(InputError, match=f"has no {train.name}"):
            read_benchmark(name, tmp_path)

    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_a_training_part_that_is_not_read_is_not_judged(self, tmp_path, name):
        """What lies in it does not matter to an evaluation."""
        folder = MAKERS[name](tmp_path)
        train = next(path for path in folder.iterdir() if "train" in path.name)
        shutil.rmtree(train)
        train.mkdir()

        assert read_benchmark(name, tmp_path, test_only=True).query

    @pytest.mark.parametrize("name", BENCHMARKS)
    @pytest.mark.parametrize("below", [0, 1, 2])
    def test_archives_unpack_a_folder_into_its_own_name(self, tmp_path, name, below):
        """RGBNT201/RGBNT201/... is found from above, from the outer and from the inner folder."""
        outer = tmp_path / benchmark_info(name).reader.__name__.removeprefix("read_").upper()
        outer = outer.with_name("msvr310") if name == "msvr310" else outer
        MAKERS[name](outer)
        root = tmp_path / "/".join([outer.name] * below)

        assert len(read_benchmark(name, root).query) > 0

    @pytest.mark.parametrize("name", BENCHMARKS)
    @pytest.mark.parametrize("spelled", [str.upper, str.lower])
    def test_case_of_folders_does_not_matter(self, tmp_path, name, spelled):
        """Folders that were renamed on the way are found; the samples are the same."""
        MAKERS[name](tmp_path)
        names = [(s.name, s.identity, s.camera) for s in read_benchmark(name, tmp_path).gallery]
        for path in sorted((p for p in tmp_path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
            if not path.name.isdecimal():
                path.rename(path.with_name(spelled(path.name)))

        found = read_benchmark(name, tmp_path)

        assert [(s.name, s.identity, s.camera) for s in found.gallery] == names
        assert all(source.path.is_file() for s in found.gallery for source in s.sources.values())

    def test_the_exact_name_counts_before_another_case(self, tmp_path):
        """Where both are there, the documented one is read."""
        folder = make_msvr310(tmp_path)
        (tmp_path / "MSVR310" / "query3").mkdir(parents=True)

        assert read_benchmark("msvr310", tmp_path).query[0].sources["rgb"].path.is_relative_to(folder)

    @pytest.mark.parametrize("left", ["@eaDir", "__MACOSX", "#recycle", ".Trash", "lost+found"])
    def test_folders_of_file_servers_are_passed_over(self, tmp_path, left):
        """They are no identities; a folder of any other name is."""
        folder = make_msvr310(tmp_path)
        whole = read_benchmark("msvr310", tmp_path)
        (folder / "query3" / left / "vis").mkdir(parents=True)

        assert read_benchmark("msvr310", tmp_path) == whole
        (folder / "query3" / "other").mkdir()
        with pytest.raises(InputError, match="other"):
            read_benchmark("msvr310", tmp_path)

    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_what_is_no_file_is_named(self, tmp_path, name):
        """InputError for a FIFO that is called like an image; it is not silently passed over."""
        MAKERS[name](tmp_path)
        image = read_benchmark(name, tmp_path).query[0].sources["rgb"].path
        image.unlink()
        os.mkfifo(image)

        with pytest.raises(InputError, match=f"{image.name}.*no regular file"):
            read_benchmark(name, tmp_path)
