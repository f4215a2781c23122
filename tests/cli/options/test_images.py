"""Options of commands that read images: ranges of 16-bit values, limits of decoding, what is left out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mambapro.cli.main import cli, run
from mambapro.cli.options.images import SixteenBitRange
from mambapro.errors import InputError
from mambapro.export.comparison.compare import _preprocessing
from mambapro.export.pytorch.bundle_metadata import fingerprint_of
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import METADATA, write_sums
from mambapro.runtime.data.image_settings import ImageSettings, image_settings, using_image_settings
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.extractor import Extractor
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.engine.image_ranges import model_preprocessing, noted_ranges
from PIL import Image

READING = (
    "train", "ablate", "export", "build", "calibrate", "sensitivity",
    "check", "compare", "extract", "eval", "explain", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def ranged(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported with a range of its own for thermal images."""
    folder = tmp_path_factory.mktemp("a") / "ranged.mambapro"
    arguments = ["export", "--ckpt", tiny_checkpoint, "--output", folder, "--sixteen-bit-range", "tir=7000:9000"]
    assert run([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def bundle(ranged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a range: what its metadata says, in a feature space of its own."""
    folder = tmp_path_factory.mktemp("b") / "tiny.mambapro"
    shutil.copytree(ranged, folder)
    text = json.loads((folder / METADATA).read_text())
    del text["preprocessing"]["sensor_ranges"]
    text["fingerprint"] = text["feature_space"]["id"] = "0" * 64
    (folder / METADATA).write_text(json.dumps(text))
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rgb/ with ten JPEG files and tir/ with ten of 14 bits."""
    root, rng = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    for sensor in ("rgb", "tir"):
        (root / sensor).mkdir()
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (20, 10, 3), np.uint8)).save(root / "rgb" / f"{i}.jpg")
        Image.fromarray(rng.integers(7004, 8005, (20, 10)).astype(np.uint16)).save(root / "tir" / f"{i}.png")
    return root


def command(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command line."""
    status = run([str(argument) for argument in arguments])
    said = capfd.readouterr()
    return status, said.out, said.err


def likeness(file: Path) -> float:
    """Mean cosine between the embeddings of different samples."""
    with np.load(file) as content:
        cosines = content["embeddings"] @ content["embeddings"].T
    return float(cosines[~np.eye(len(cosines), dtype=bool)].mean())


class TestOptions:
    @pytest.mark.parametrize("name", READING)
    def test_every_command_that_reads_images_has_them(self, name: str) -> None:
        """The three options are there, explained."""
        said = CliRunner().invoke(cli, [name, "--help"]).output

        assert all(option in said for option in ("--sixteen-bit-range", "--max-image-pixels", "--accept-truncated"))

    @pytest.mark.parametrize(
        "value", ["7000", "9:7", "0:65536", "depth=0:9", "tir=", "tir=1:2:3", "-1:5", "1.5:9", "²:9"]
    )
    def test_impossible_ranges_are_refused(self, value: str, capfd: pytest.CaptureFixture[str]) -> None:
        """Exit code 2, and how a range is written."""
        status, _, said = command(capfd, "extract", "x", "--out", "y", f"--sixteen-bit-range={value}")

        assert status == 2
        assert "tir=7000:9000" in said

    def test_one_sensor_counts_before_all(self) -> None:
        """In any order; and a command leaves the process as it was."""
        seen = []

        @cli.command("probe-images")
        @pytest.importorskip("mambapro.cli.options.images").image_options
        def probe() -> None:
            seen.append(image_settings())

        try:
            for order in (("tir=7000:9000", "0:4000"), ("0:4000", "tir=7000:9000")):
                given = [part for value in order for part in ("--sixteen-bit-range", value)]
                assert run(["probe-images", *given, "--max-image-pixels", "99", "--accept-truncated"]) == 0
        finally:
            del cli.commands["probe-images"]

        ranges = {"rgb": (0, 4000), "nir": (0, 4000), "tir": (7000, 9000)}
        assert seen == [ImageSettings(99, True, ranges)] * 2
        assert image_settings() == ImageSettings()

    def test_a_range_is_a_dictionary(self) -> None:
        """LOW:HIGH is that of every sensor."""
        assert SixteenBitRange().convert("5:9", None, None) == dict.fromkeys(MODALITIES, (5, 9))


class TestThermal:
    def test_extract_warns_and_takes_a_range(
        self, bundle: Path, folders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """By default all embeddings are nearly one, which is told; with a range they are not, in a space of its own."""
        where = ("extract", bundle, "--tir", folders / "tir", "--json", "--out")

        status, first, said = command(capfd, *where, tmp_path / "a.npz")
        status_2, second, said_2 = command(capfd, *where, tmp_path / "b.npz", "--sixteen-bit-range", "tir=6500:8500")

        assert (status, status_2) == (0, 0)
        assert "16-bit values of the tir images are 70" in said and "--sixteen-bit-range tir=6" in said
        assert "16-bit" not in said_2
        assert 1 - likeness(tmp_path / "b.npz") > 20 * (1 - likeness(tmp_path / "a.npz"))
        with Extractor(bundle, "cpu", sixteen_bit_range={"tir": [6500.0, 8500]}) as extractor:
            assert json.loads(second)["fingerprint"] == extractor.fingerprint != json.loads(first)["fingerprint"]

    def test_a_bundle_is_exported_with_its_range(
        self, ranged: Path, tiny_checkpoint: Path, folders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """It is written down, is part of the feature space, and is used without being given again."""
        metadata = Bundle.open(ranged).metadata

        status, out, said = command(
            capfd, "extract", ranged, "--tir", folders / "tir", "--out", tmp_path / "a.npz", "--json"
        )
        given = ("--sixteen-bit-range", "tir=7000:9000")
        _, again, _ = command(
            capfd, "extract", ranged, "--tir", folders / "tir", "--out", tmp_path / "b.npz", "--json", *given
        )

        assert metadata.preprocessing.sensor_ranges == {"tir": (7000, 9000)}
        plain = replace(metadata.preprocessing, sensor_ranges={})
        model = ExportOptions(tiny_checkpoint).load_model()
        assert fingerprint_of(model, metadata.preprocessing) == metadata.fingerprint
        assert fingerprint_of(model) == fingerprint_of(model, plain) != metadata.fingerprint
        assert (status, "16-bit" in said) == (0, False)
        assert json.loads(out)["fingerprint"] == json.loads(again)["fingerprint"] == metadata.fingerprint

    def test_check_proposes_a_range(
        self, bundle: Path, ranged: Path, folders: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """From images, where the bundle's does not fit; standard output stays the report."""
        status, out, said = command(capfd, "check", bundle, "--images", folders, "--json")
        _, _, fits = command(capfd, "check", ranged, "--images", folders)

        assert (status, json.loads(out)["samples"]) == (0, 14)
        assert "Proposed: --sixteen-bit-range tir=6" in said
        assert "Proposed" not in fits

    def test_compared_bundles_prepare_images_alike(self, bundle: Path, ranged: Path) -> None:
        """InputError for bundles of different ranges, unless one is given for all."""
        bundles = [Bundle.open(path) for path in (ranged, bundle)]

        assert _preprocessing(None, bundles[:1]) == bundles[0].metadata.preprocessing  # type: ignore[arg-type]
        with pytest.raises(InputError, match="scales 16-bit images otherwise"):
            _preprocessing(None, bundles)  # type: ignore[arg-type]
        with using_image_settings(ImageSettings(sixteen_bit_range={"tir": (1, 9)})):
            assert _preprocessing(None, bundles).sensor_ranges == {"tir": (1, 9)}  # type: ignore[arg-type]

    def test_a_checkpoint_notes_its_training_range(self, tiny_checkpoint: Path) -> None:
        """What was trained with is exported and evaluated with, unless something else is said."""
        model = ExportOptions(tiny_checkpoint).load_model()
        with using_image_settings(ImageSettings(sixteen_bit_range={"tir": (7000, 9000)})):
            noted = noted_ranges()
        assert model_preprocessing(model).sensor_ranges == {}

        model.trained_on |= json.loads(json.dumps(noted))

        assert model_preprocessing(model).range_of("tir") == (7000, 9000)
        assert model_preprocessing(model, None).range_of("tir") == (7000, 9000)
        other = model_preprocessing(model, {"tir": (0, 9), "nir": (1, 9)})
        assert (other.range_of("tir"), other.range_of("nir")) == ((0, 9), (1, 9))
        assert model_preprocessing(model, (0, 9)).range_of("tir") == (0, 9)


class TestBadImages:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        """A drawn benchmark, one image of which is cut."""
        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 3), views=4)
        path = read_benchmark("rgbnt201", tmp_path / "data").query[2].sources["nir"].path
        path.write_bytes(path.read_bytes()[:-800])
        return tmp_path / "data"

    def test_eval_leaves_them_out_or_accepts_them(
        self, bundle: Path, tiny_checkpoint: Path, data: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Exit code 2 with the option's name; with it the sample is named; cut files are accepted on request."""
        where = ("--data", data, "--dataset", "rgbnt201", "--bootstrap", 0)
        name = read_benchmark("rgbnt201", data).query[2].name

        status, _, said = command(capfd, "eval", bundle, *where)
        skipped = [command(capfd, "eval", model, *where, "--skip-bad") for model in (bundle, tiny_checkpoint)]
        accepted = command(capfd, "eval", bundle, *where, "--accept-truncated", "--json")

        assert status == 2 and "cannot be decoded" in said and "--skip-bad" in said
        for status, out, _ in skipped:
            assert status == 0 and f"1 samples left out, an image of theirs cannot be used: {name}" in out
        assert accepted[0] == 0 and json.loads(accepted[1])["left_out"] == []
        assert "is damaged or cut short" in accepted[2]

    def test_eval_lists_what_it_left_out(
        self, bundle: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """In a file on request, never over another one; the option alone means nothing."""
        where = ("eval", bundle, "--data", data, "--dataset", "rgbnt201", "--bootstrap", 0)
        listing = tmp_path / "skipped.json"

        status, _, _ = command(capfd, *where, "--skip-bad", "--skipped", listing)
        again, _, said = command(capfd, *where, "--skip-bad", "--skipped", listing)
        alone, _, _ = command(capfd, *where, "--skipped", tmp_path / "other.json")

        content = json.loads(listing.read_text())
        benchmark = read_benchmark("rgbnt201", data)
        assert (status, again, alone) == (0, 2, 2) and "exists already" in said
        assert content["samples"] == len(benchmark.query)
        assert [one["name"] for one in content["skipped"]] == [benchmark.query[2].name]
        assert "cannot be decoded" in content["skipped"][0]["reason"]

    def test_a_device_without_the_training_part_evaluates(
        self, bundle: Path, data: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Only query and gallery are needed."""
        (data / "RGBNT201" / "train_171").rename(data / "elsewhere")

        status, _, _ = command(
            capfd, "eval", bundle, "--data", data, "--dataset", "rgbnt201", "--bootstrap", 0, "--skip-bad"
        )

        assert status == 0

    def test_pixels_can_be_limited(self, bundle: Path, folders: Path, tmp_path: Path, capfd) -> None:
        """Exit code 2 with the option that allows more."""
        where = ("extract", bundle, "--rgb", folders / "rgb", "--out", tmp_path / "a.npz")

        status, _, said = command(capfd, *where, "--max-image-pixels", 199)
        allowed, _, _ = command(capfd, *where, "--max-image-pixels", 200)

        assert (status, allowed) == (2, 0)
        assert "--max-image-pixels 200" in said
