"""mambapro attributes, and extract --attributes: a row for each image, bad images, pages, checks before the work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from attribute_bundles import *  # noqa: F403 - fixtures
from attribute_bundles import ATTRIBUTE_NAMES, MakeAttributeBundle
from mambapro import AttributeRecognizer, Extractor
from mambapro.cli.main import run
from mambapro.runtime import session
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.records.record_file import read_records
from PIL import Image
from small_bundles import *  # noqa: F403 - fixtures


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    code = run([str(argument) for argument in arguments])
    found = capfd.readouterr()
    return code, found.out, found.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of seven crops, as colour, grey and palette images, and of files that are none."""
    rng = np.random.default_rng(9)
    path = tmp_path / "crops"
    path.mkdir()
    for number, mode in enumerate(("RGB", "RGB", "L", "P", "RGBA", "RGB", "RGB")):
        image = Image.fromarray(rng.integers(0, 256, (50, 25, 3), np.uint8)).convert(mode)
        image.save(path / f"p{number}.png")
    (path / "notes.txt").write_text("x")
    return path


class TestAttributes:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "npz", "parquet"])
    def test_a_row_for_each_image(
        self, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd, suffix: str
    ) -> None:
        """Names, probabilities and decisions are those of an AttributeRecognizer; the report counts them."""
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        out = tmp_path / "new" / f"a.{suffix}"

        code, printed, _ = said(capfd, "attributes", attribute_bundle, folder, "--out", out, "--batch", 3, "--json")

        assert code == 0
        report, found = json.loads(printed), read_records(out)
        with AttributeRecognizer(attribute_bundle, "cpu") as recognizer:
            wanted = recognizer(sorted(folder.glob("*.png")))
        assert report["images"] == 7 and report["labels"] == [*ATTRIBUTE_NAMES] and report["thresholds"] == [0.45] * 6
        assert found.names == tuple(f"p{i}" for i in range(7)) and found.labels == ATTRIBUTE_NAMES
        np.testing.assert_allclose(found.probabilities, wanted.probabilities, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found.assigned, wanted.assigned)
        assert [path.resolve() for path in found.files if path] == sorted(folder.glob("*.png"))

    def test_a_fixed_batch(
        self, make_attribute_bundle: MakeAttributeBundle, folder: Path, tmp_path: Path, capfd
    ) -> None:
        """A bundle of a fixed batch is run with it, without an option."""
        out = tmp_path / "a.csv"

        code, _, err = said(capfd, "attributes", make_attribute_bundle(batch=4), folder, "--out", out)

        assert code == 0, err
        assert len(read_records(out)) == 7

    def test_thresholds(self, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd) -> None:
        """--threshold replaces those of the bundle, for all labels or for those that are named."""
        call = ("attributes", attribute_bundle, folder, "--out")
        assert said(capfd, *call, tmp_path / "a.csv", "--threshold", "1")[0] == 0
        assert said(capfd, *call, tmp_path / "b.csv", "--threshold", "short sleeve=0", "--threshold", "hat=1.0")[0] == 0

        first, second = read_records(tmp_path / "a.csv"), read_records(tmp_path / "b.csv")
        assert not first.assigned.any() and not second.assigned[:, 0].any() and second.assigned[:, 2].all()
        for wrong, message in (
            (("--threshold", "2"), "'2' is no threshold"),
            (("--threshold", "0.5", "--threshold", "hat=1"), "not both"),
            (("--threshold", "hat=0.5", "--threshold", "hat=1"), "gives 'hat' two numbers"),
            (("--threshold", "hut=0.5"), "no label 'hut'. The nearest of 6: hat"),
        ):
            code, _, err = said(capfd, *call, tmp_path / "c.csv", *wrong)
            assert code == 2 and message in err.replace("\n", " ")

    def test_exclusive_labels(
        self, make_attribute_bundle: MakeAttributeBundle, folder: Path, tmp_path: Path, capfd
    ) -> None:
        """--exclusive best leaves at most one of trousers and skirt."""
        labels = Labels(ATTRIBUTE_NAMES, thresholds=(0.01,) * 6, exclusive=(("trousers", "skirt"),))
        call = ("attributes", make_attribute_bundle(labels=labels), folder, "--out")

        assert said(capfd, *call, tmp_path / "a.csv")[0] == 0
        assert said(capfd, *call, tmp_path / "b.csv", "--exclusive", "best")[0] == 0

        both = read_records(tmp_path / "a.csv").assigned[:, 3:5].sum(axis=1)
        best = read_records(tmp_path / "b.csv")
        assert both.max() == 2 and best.assigned[:, 3:5].sum(axis=1).max() == 1
        row = int(both.argmax())
        assert best.assigned[row, 3] == (best.probabilities[row, 3] >= best.probabilities[row, 4])

    def test_bad_images(self, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd) -> None:
        """Missing and unreadable images are named; with --skip-bad the rest is written and they are listed."""
        (folder / "p1.png").write_bytes(b"x")
        call = ("attributes", attribute_bundle, folder, "--out", tmp_path / "a.csv")

        code, _, err = said(capfd, *call)
        assert code == 2 and "p1.png is not an image" in err and "--skip-bad" in err
        assert not (tmp_path / "a.csv").exists()

        (folder / "p3.png").unlink()
        (folder / "p3.png").symlink_to(tmp_path / "gone.png")
        code, printed, err = said(capfd, *call, "--skip-bad")
        assert code == 0 and "2 of 7 samples skipped: p1, p3" in printed
        assert read_records(tmp_path / "a.csv").names == ("p0", "p2", "p4", "p5", "p6")
        listed = json.loads((tmp_path / "a.skipped.json").read_text())
        assert [(one["name"], one["sensor"]) for one in listed["skipped"]] == [("p1", "rgb"), ("p3", "rgb")]

    def test_a_page(self, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd, monkeypatch) -> None:
        """Each image with its attributes and probabilities; the number of drawn images is limited, and told."""
        page = pytest.importorskip("mambapro.runtime.records.attribute_page")
        call = ("attributes", attribute_bundle, folder, "--out", tmp_path / "a.csv", "--show", tmp_path / "a.html")

        assert said(capfd, *call)[0] == 0

        text = (tmp_path / "a.html").read_text()
        with open(tmp_path / "a.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert text.count("<img") == 7 and "are drawn" not in text
        number = next(i for i, row in enumerate(rows) if "hat" in row["attributes"].split(";"))
        card = text.split("<figure")[number + 1]
        assert f'<li>hat <span class="value">{float(rows[number]["hat"]):.2f}</span>' in card
        monkeypatch.setattr(page, "MOST_CROPS", 3)
        assert said(capfd, *call, "--overwrite")[0] == 0
        text = (tmp_path / "a.html").read_text()
        assert text.count("<img") == 3 and "The first 3 of 7 are drawn." in text

    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            (("--out", "a.xlsx"), 2, "not .xlsx"),
            (("--out", "there.csv"), 2, "exists already"),
            (("--out", "a.csv", "--show", "a.csv"), 2, "would be one file"),
            (("--out", "a.csv", "--show", "there.csv"), 2, "exists already"),
            (("--out", "a.parquet"), 3, "mambapro[parquet]"),
        ],
    )
    def test_outputs_are_checked_first(
        self, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd, monkeypatch, change, code: int, message: str
    ) -> None:
        """Nothing is decoded or written where the result could not be."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        monkeypatch.setattr(session.Session, "run", lambda *_: pytest.fail("the model ran"))
        (tmp_path / "there.csv").write_text("precious")

        found, _, err = said(capfd, "attributes", attribute_bundle, folder, *change)

        assert found == code and message in err.replace("\n", " ")
        assert (tmp_path / "there.csv").read_text() == "precious" and not (tmp_path / "a.csv").exists()

    def test_other_bundles_and_folders(self, bundle: Path, attribute_bundle: Path, tmp_path: Path, capfd) -> None:
        """A bundle for embeddings is named with its command; so is an empty folder, and one that does not exist."""
        (tmp_path / "empty").mkdir()
        out = ("--out", tmp_path / "a.csv")

        code, _, err = said(capfd, "attributes", bundle, tmp_path / "empty", *out)
        assert code == 7 and "Open it with Extractor (mambapro extract)" in err.replace("\n", " ")
        code, _, err = said(capfd, "attributes", attribute_bundle, tmp_path / "empty", *out)
        assert code == 2 and "no images to extract" in err
        code, _, err = said(capfd, "attributes", attribute_bundle, tmp_path / "gone", *out)
        assert code == 2 and "does not exist" in err


class TestExtract:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "npz", "parquet"])
    def test_both_tasks_in_one_file(
        self, bundle: Path, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd, suffix: str
    ) -> None:
        """Embeddings and attributes of each sample; without its RGB image a sample has no attributes."""
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        nir = tmp_path / "nir"
        nir.mkdir()
        for number in (1, 2, 7):
            Image.new("RGB", (20, 40), (number, 9, 9)).save(nir / f"p{number}.png")
        out = tmp_path / f"f.{suffix}"

        code, printed, _ = said(
            capfd, "extract", bundle, "--rgb", folder, "--nir", nir, "--attributes", attribute_bundle, "--out", out
        )

        assert code == 0 and "8 embeddings of 12" in printed and "6 attributes of 7 with an RGB image" in printed
        found = read_records(out)
        rgb = [folder / f"p{i}.png" for i in range(7)]
        with Extractor(bundle, "cpu") as extractor, AttributeRecognizer(attribute_bundle, "cpu") as recognizer:
            embeddings = extractor([*rgb, None], [nir / f"p{i}.png" if i in (1, 2, 7) else None for i in range(8)])
            attributes = recognizer(rgb)
            assert found.fingerprint == extractor.fingerprint
        np.testing.assert_allclose(found.embeddings, embeddings, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.probabilities[:7], attributes.probabilities, rtol=0, atol=1e-6)
        assert found.present.tolist() == [True] * 7 + [False] and not found.assigned[7].any()
        assert found.files[7] is None

    def test_no_rgb_at_all(self, bundle: Path, attribute_bundle: Path, folder: Path, tmp_path: Path, capfd) -> None:
        """Without RGB images the embeddings are written, and a warning says that no attributes are known."""
        out = tmp_path / "f.csv"

        code, _, err = said(capfd, "extract", bundle, "--nir", folder, "--attributes", attribute_bundle, "--out", out)

        assert code == 0 and "None of the samples has an RGB image" in err
        assert not read_records(out).present.any() and len(read_records(out)) == 7

    def test_decisions_need_attributes(self, bundle: Path, folder: Path, tmp_path: Path, capfd) -> None:
        """--threshold without --attributes is refused, and so are bundles of the wrong task on either side."""
        call = ("extract", bundle, "--rgb", folder, "--out", tmp_path / "f.npz")

        code, _, err = said(capfd, *call, "--threshold", "0.6")
        assert code == 2 and "Give their bundle with --attributes" in err.replace("\n", " ")
        code, _, err = said(capfd, *call, "--attributes", bundle)
        assert code == 7 and "AttributeRecognizer needs" in err.replace("\n", " ")
        assert not (tmp_path / "f.npz").exists()
