"""Which images are taken: the same ones each time, even over what is known of them, and none of the test set."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mambapro.calib import calibrate_bundle as running
from mambapro.calib import images as choosing_images
from mambapro.calib.coverage import coverage_of
from mambapro.calib.images import CalibrationImages, calibration_images
from mambapro.calib.sampling import balanced
from mambapro.errors import InputError
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.data.sample import ImageSource, Sample
from mambapro.synthetic.benchmark import draw_benchmark
from PIL import Image

SMALL = Preprocessing(64, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn RGBNT201: 6 training and 3 test identities, 4 samples of each."""
    root = tmp_path_factory.mktemp("benchmark") / "data"
    draw_benchmark(root, "rgbnt201", seed=0, identities=(6, 3), views=4)
    return root


@pytest.fixture
def copied(image_folder: Path, tmp_path: Path) -> Path:
    """The folder of images, to be changed."""
    return Path(shutil.copytree(image_folder, tmp_path / "images"))


class TestChoice:
    def test_the_same_every_time(self, image_folder: Path) -> None:
        """Twice the same list and hash; another seed gives another one of the same size."""
        first, again, other = (calibration_images(image_folder, SMALL, count=10, seed=seed) for seed in (0, 0, 1))

        assert first == again and first.sha256 == again.sha256
        assert len(other.images) == len(first.images) == 10
        assert other.sha256 != first.sha256

    def test_the_hash_is_of_content(self, copied: Path, image_folder: Path) -> None:
        """Another place changes nothing, another pixel does."""
        assert calibration_images(copied, SMALL).sha256 == calibration_images(image_folder, SMALL).sha256

        Image.fromarray(np.full((64, 32, 3), 77, np.uint8)).save(next((copied / "nir").glob("003_*")))
        assert calibration_images(copied, SMALL).sha256 != calibration_images(image_folder, SMALL).sha256

    def test_balanced(self) -> None:
        """From a lopsided offer identities, cameras and darkness come out even."""
        images = [Sample(f"{i}", {}, identity=i % 20, camera=int(i % 16 == 0)) for i in range(800)]
        dark = [i % 8 == 1 for i in range(800)]

        chosen = balanced(images, dark, 40, seed=0)

        assert len(set(chosen)) == 40
        assert set(Counter(images[i].identity for i in chosen).values()) == {2}
        plain = balanced(images, [None] * 800, 40, seed=0)
        assert sum(dark[i] for i in chosen) > 2 * sum(dark[i] for i in plain)
        assert Counter(images[i].camera for i in chosen)[1] >= 10

    def test_cameras_of_names(self, image_folder: Path) -> None:
        """A pattern finds the cameras that the samples are run with; without one they are unknown."""
        with_pattern = calibration_images(image_folder, SMALL, camera_pattern=r"cam(\d)", first_camera=1)

        assert {image.camera for image in with_pattern.images} == {0, 1, 2, 3}
        assert {image.camera for image in calibration_images(image_folder, SMALL).images} == {-1}

    def test_a_missing_sensor(self, copied: Path) -> None:
        """A sample without an image of a sensor stays, and the coverage counts it."""
        next((copied / "tir").glob("004_*")).unlink()
        shutil.rmtree(copied / "nir")

        coverage = coverage_of(calibration_images(copied, SMALL))

        assert coverage.missing == {"rgb": 0, "nir": 20, "tir": 1}
        assert "missing images  nir 20, tir 1" in str(coverage)


class TestBenchmark:
    def test_only_the_training_split(self, benchmark: Path) -> None:
        """Identities and cameras are known, and none of query or gallery is among them."""
        chosen = calibration_images(benchmark, SMALL, "rgbnt201", count=12)

        tested = {sample.identity for sample in read_benchmark("rgbnt201", benchmark).gallery}
        assert Counter(image.identity for image in chosen.images) == dict.fromkeys(range(1, 7), 2)
        assert not {image.identity for image in chosen.images} & tested
        assert coverage_of(chosen).identities == 6

    def test_test_images_in_a_folder(self, benchmark: Path, copied: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A copy of a gallery image under another name is found by its content and refused, unless insisted on."""
        stolen = read_benchmark("rgbnt201", benchmark).gallery[1]
        for modality, source in stolen.sources.items():
            shutil.copy(source.path, copied / modality / "harmless.jpg")

        with pytest.raises(InputError, match=r"3 of the calibration images are query or gallery.*--allow-test-images"):
            calibration_images(copied, SMALL, "rgbnt201", benchmark)
        with caplog.at_level(logging.WARNING, "mambapro"):
            assert len(calibration_images(copied, SMALL, "rgbnt201", benchmark, insist=True).images) == 21
        assert "Going on, since it was insisted on" in caplog.text

    def test_a_clean_folder_beside_a_benchmark(self, benchmark: Path, image_folder: Path) -> None:
        """Images of others pass."""
        assert len(calibration_images(image_folder, SMALL, "rgbnt201", benchmark).images) == 20

    def test_the_test_folder_itself(self, benchmark: Path, tmp_path: Path) -> None:
        """Links into the test part are found by where they lead."""
        for modality in MODALITIES:
            (tmp_path / modality).mkdir()
            for sample in read_benchmark("rgbnt201", benchmark).gallery:
                path = sample.sources[modality].path
                (tmp_path / modality / path.name).symlink_to(path)

        with pytest.raises(InputError, match="36 of the calibration images are query or gallery"):
            calibration_images(tmp_path, SMALL, "rgbnt201", benchmark)

    def test_training_identities_that_are_tested(
        self, benchmark: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A benchmark whose training split shares an identity with its gallery is refused, unless insisted on."""
        root = Path(shutil.copytree(benchmark, tmp_path / "mixed"))
        test = next(path for path in root.rglob("*") if path.is_dir() and path.name.startswith("test"))
        train = next(path for path in root.rglob("*") if path.is_dir() and path.name.startswith("train"))
        for path in [path for path in test.rglob("*.jpg") if path.name.startswith("000301")]:
            shutil.copy(path, train / path.relative_to(test))

        with pytest.raises(InputError, match=r"1 identities of the training split.*301"):
            calibration_images(root, SMALL, "rgbnt201")
        assert len(calibration_images(root, SMALL, "rgbnt201", insist=True).images) == 28


class TestHash:
    def test_the_box_counts(self, image_folder: Path) -> None:
        """The same file in another box is another image; no box is another one again."""
        path = next((image_folder / "rgb").iterdir())
        listed = [
            CalibrationImages((Sample("a", {"rgb": ImageSource(path, box)}),), (), (("hash", None, None),), 1, "x")
            for box in (None, (0, 0, 8, 8), (0, 0, 8, 9))
        ]

        assert len({images.sha256 for images in listed}) == 3

    def test_the_camera_counts_and_the_name_does_not(self) -> None:
        """The model is run with the camera, so another one is another sample; the name is never seen by it."""

        def listed(name: str, camera: int) -> str:
            image = Sample(name, {}, camera=camera)
            return CalibrationImages((image,), (), ((None, None, None),), 1, "x").sha256

        assert listed("a", 1) == listed("b", 1) != listed("a", 2)


def test_coverage_counts_known_identities(image_folder: Path) -> None:
    """Samples of unknown identity are no identity: 0 of a folder, and 2 of (7, 7, unknown, 9)."""
    assert coverage_of(calibration_images(image_folder, SMALL)).identities == 0

    images = tuple(Sample(str(i), {}, identity=number) for i, number in enumerate((7, 7, -1, 9)))
    assert coverage_of(CalibrationImages(images, (), ((None,) * 3,) * 4, 4, "x")).identities == 2


class TestBadInput:
    def test_just_enough(self, copied: Path) -> None:
        """Eight samples, and eight asked for, are enough."""
        for path in sorted(copied.rglob("*.png")):
            if int(path.name[:3]) >= 8:
                path.unlink()

        assert len(calibration_images(copied, SMALL, count=8).images) == 8

    def test_a_gallery_image_that_is_no_query(self, benchmark: Path, copied: Path) -> None:
        """The gallery is looked at as well as the queries."""
        whole = read_benchmark("rgbnt201", benchmark)
        shutil.copy(whole.gallery[0].sources["rgb"].path, copied / "rgb" / "harmless.jpg")
        fewer = replace(whole, query=whole.query[1:])
        assert whole.gallery[0].sources not in [sample.sources for sample in fewer.query]

        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(InputError, match="1 of the calibration images are query or gallery"),
        ):
            patch.setattr(choosing_images, "read_benchmark", lambda name, root, test_only=False: fewer)
            calibration_images(copied, SMALL, "rgbnt201", benchmark)

    def test_too_few(self, copied: Path) -> None:
        """Seven samples are refused, whether that is all there are or all that were asked for."""
        for path in sorted(copied.rglob("*.png")):
            if int(path.name[:3]) >= 7:
                path.unlink()

        with pytest.raises(InputError, match=r"holds 7 sample\(s\).*at least 8"):
            calibration_images(copied, SMALL)
        with pytest.raises(InputError, match="at least 8 images, not 7"):
            calibration_images(copied, SMALL, count=7)

    def test_empty_and_missing(self, tmp_path: Path) -> None:
        """A folder without sensors' folders, with empty ones, or that is not there."""
        with pytest.raises(InputError, match=r"has no folder rgb, nir or tir"):
            calibration_images(tmp_path, SMALL)
        with pytest.raises(InputError, match=r"is no folder with rgb, nir or tir"):
            calibration_images(tmp_path / "nowhere", SMALL)
        (tmp_path / "rgb").mkdir()
        with pytest.raises(InputError, match=r"holds 0 sample"):
            calibration_images(tmp_path, SMALL)
        with pytest.raises(InputError, match="needs the name of the benchmark"):
            calibration_images(tmp_path, SMALL, data=tmp_path)

    def test_fewer_than_128_is_said(self, image_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Twenty images are taken, with a warning."""
        with caplog.at_level(logging.WARNING, "mambapro"):
            calibration_images(image_folder, SMALL)

        assert "Only 20 calibration images; 128 or more are better" in caplog.text
        assert "swapped" not in caplog.text

    def test_a_broken_image(self, copied: Path) -> None:
        """The file is named."""
        next((copied / "nir").glob("002_*")).write_bytes(b"not an image")

        with pytest.raises(InputError, match=r"002_cam\d.png is not an image"):
            calibration_images(copied, SMALL)

    @pytest.mark.parametrize("other", ["nir", "tir"])
    def test_swapped_folders(self, other: str, copied: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Colour in a NIR or TIR folder and grey in the RGB folder are counted in a warning; night has no colour."""
        (copied / "rgb").rename(copied / "aside")
        (copied / other).rename(copied / "rgb")
        (copied / "aside").rename(copied / other)

        with caplog.at_level(logging.WARNING, "mambapro"):
            calibration_images(copied, SMALL)

        said = f"20 of 20 RGB images are gray by daylight; 16 of 20 {other.upper()} images are in color"
        assert f"{said}. Were the sensors' folders swapped?" in caplog.text


class TestThermal:
    @pytest.fixture
    def folder(self, tmp_path):
        """Ten 14-bit thermal images."""
        (tmp_path / "tir").mkdir()
        rng = np.random.default_rng(0)
        for i in range(10):
            values = rng.integers(7004, 8005, (20, 10)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "tir" / f"{i}.png")
        return tmp_path

    def test_a_range_is_proposed(self, folder, caplog):
        """From the images, where the model's range leaves them a sliver; nothing is said where it fits."""
        calibration_images(folder, SMALL)
        assert "tir hold values from 70" in caplog.text and "Proposed: --sixteen-bit-range tir=6" in caplog.text
        caplog.clear()

        calibration_images(folder, SMALL.with_ranges({"tir": (7000, 9000)}, MODALITIES))

        assert "Proposed" not in caplog.text

    def test_it_is_proposed_before_images_are_refused(self, folder, caplog):
        """Where the range makes them unusable, the proposal comes first."""
        with pytest.raises(InputError, match="outside sixteen_bit_range"):
            calibration_images(folder, SMALL.with_ranges({"tir": (0, 7500)}, MODALITIES))
        assert "Proposed: --sixteen-bit-range tir=6" in caplog.text

    def test_the_range_of_the_process_prepares_them(self, folder, tiny_metadata, monkeypatch, tmp_path):
        """Scales are found on images in the range that was given, under a key of its own in the cache."""
        seen = []
        opened = SimpleNamespace(metadata=tiny_metadata, folder=tmp_path / "b", named_copy=nullcontext)
        monkeypatch.setattr(running.Bundle, "open", lambda _: opened)
        monkeypatch.setattr(running, "calibrate", lambda _, metadata, *others: seen.append(metadata) or 1 / 0)

        settings = ImageSettings(sixteen_bit_range={"tir": (7000, 9000)})
        with using_image_settings(settings), pytest.raises(ZeroDivisionError):
            running.run_calibration(tmp_path / "b", tmp_path / "s.json", folder)

        assert seen[0].preprocessing.range_of("tir") == (7000, 9000)

    def test_sensors_without_a_common_name_are_refused(self, folder):
        """InputError, unless each image is to be a sample of its own."""
        (folder / "rgb").mkdir()
        for i in range(10):
            Image.new("RGB", (10, 20)).save(folder / "rgb" / f"rgb_{i}.jpg")

        with pytest.raises(InputError, match="--unpaired"):
            calibration_images(folder, SMALL)

        assert calibration_images(folder, SMALL, unpaired=True).offered == 20
