"""mambapro find: conditions, likeness, pages, and files that cannot answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from attribute_bundles import *  # noqa: F403 - fixtures
from mambapro import Extractor
from mambapro.cli.main import run
from mambapro.errors import InputError
from mambapro.runtime.records.record_file import Records, read_records
from mambapro.runtime.search.find import row_of
from PIL import Image
from small_bundles import *  # noqa: F403 - fixtures


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    code = run([str(argument) for argument in arguments])
    found = capfd.readouterr()
    return code, found.out, found.err


@pytest.fixture(params=["npz", "csv", "jsonl", "parquet"])
def features(bundle: Path, attribute_bundle: Path, tmp_path: Path, request: pytest.FixtureRequest, capfd) -> Path:
    """Records of ten RGB crops, one of them with NIR too, and of one that has NIR alone, in each format."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return write(tmp_path, bundle, attribute_bundle, request.param, capfd)


@pytest.fixture
def npz(bundle: Path, attribute_bundle: Path, tmp_path: Path, capfd) -> Path:
    """The records as .npz."""
    return write(tmp_path, bundle, attribute_bundle, "npz", capfd)


def write(tmp_path: Path, bundle: Path, attribute_bundle: Path, suffix: str, capfd) -> Path:
    """Draw the crops and write their records."""
    rng = np.random.default_rng(7)
    for sensor, numbers in (("rgb", range(10)), ("nir", (0, 10))):
        (tmp_path / sensor).mkdir()
        for number in numbers:
            Image.fromarray(rng.integers(0, 256, (3, 2, 3), np.uint8)).save(tmp_path / sensor / f"c{number:02}.png")
    out = tmp_path / f"f.{suffix}"
    folders = ("--rgb", tmp_path / "rgb", "--nir", tmp_path / "nir")
    assert said(capfd, "extract", bundle, *folders, "--attributes", attribute_bundle, "--out", out)[0] == 0
    return out


def rows_of(printed: str) -> list[int]:
    return [hit["row"] for hit in json.loads(printed)["hits"]]


def label(records: Records, name: str) -> int:
    assert records.labels is not None
    return records.labels.index(name)


def test_a_condition(features: Path, capfd) -> None:
    """Records that fulfill it, the most certain first; those without attributes fulfill none, and are counted."""
    code, printed, _ = said(capfd, "find", features, "--where", "not hat or backpack > 0.6", "--json")

    found = read_records(features)
    hat, backpack = label(found, "hat"), label(found, "backpack")
    p = found.probabilities
    fits = (~found.assigned[:, hat] | (p[:, backpack] > 0.6)) & found.present
    wanted = np.flatnonzero(fits)
    certain = np.maximum(1 - p[:, hat], p[:, backpack])
    report = json.loads(printed)
    assert code == 0 and (report["records"], report["known"], report["matching"]) == (11, 10, len(wanted))
    assert rows_of(printed) == wanted[np.argsort(-certain[wanted], kind="stable")].tolist() and 0 < len(wanted) < 10
    code, printed, _ = said(capfd, "find", features, "--where", "not hat or backpack > 0.6", "--top", 1)
    assert f"{len(wanted)} of 11 records fit; 1 without attributes fit no condition. The first:" in printed


def test_likeness(features: Path, bundle: Path, tmp_path: Path, capfd) -> None:
    """Ranked by cosine: to an image, to a record by name or number, alone or among those of a condition."""
    found = read_records(features)
    with Extractor(bundle, "cpu") as extractor:
        query = extractor(tmp_path / "rgb" / "c03.png")[0]
    cosines = found.embeddings @ query
    order = np.argsort(-cosines, kind="stable").tolist()

    _, printed, _ = said(capfd, "find", features, "--like", tmp_path / "rgb" / "c03.png", "--bundle", bundle, "--json")
    assert rows_of(printed) == order and order[0] == 3
    assert json.loads(printed)["hits"][1]["cosine"] == pytest.approx(float(cosines[order[1]]), abs=1e-5)
    for like in (3, "c03"):
        _, printed, _ = said(capfd, "find", features, "--like", like, "--json")
        assert rows_of(printed) == order[1:]
    _, printed, _ = said(capfd, "find", features, "--like", 3, "--where", "hat", "--json", "--top", 2)
    hats = found.assigned[:, label(found, "hat")]
    assert rows_of(printed) == [row for row in order[1:] if hats[row]][:2]


def test_names_of_digits(tmp_path: Path) -> None:
    """A name counts before a number: 00002 is the crop of this name, not the third; numbers of no name still count."""
    names = ("00001", "00002", "00003")
    nothing = np.zeros((3, 0), np.float32)
    records = Records(tmp_path / "r.csv", names, (None,) * 3, None, nothing, nothing.astype(bool), None, "")

    assert [row_of(records, like) for like in ("00002", "2", "0", "00", "other")] == [1, 2, 0, 0, None]
    for beyond in ("3", "9" * 5000, "0" * 30 + "7"):
        with pytest.raises(InputError, match="3 are numbered from 0"):
            row_of(records, beyond)


def test_a_page(npz: Path, bundle: Path, tmp_path: Path, capfd) -> None:
    """The query, then the hits with cosine and attributes; an existing page is kept without --overwrite."""
    pytest.importorskip("jinja2")
    call = ("find", npz, "--like", tmp_path / "rgb" / "c03.png", "--bundle", bundle, "--top", 4)
    page = tmp_path / "page.html"

    code, printed, _ = said(capfd, *call, "--show", page)

    text = page.read_text()
    # the third hit has a NIR image alone
    assert code == 0 and "page.html" in printed and text.count("<img") == 4 and "no RGB image" in text
    assert "The first 4 of 11 are drawn." in text and "<br>cosine 1.000" in text
    assert said(capfd, *call, "--show", page)[0] == 2 and page.read_text() == text
    (tmp_path / "rgb" / "c03.png").rename(tmp_path / "query.png")
    code, _, _ = said(capfd, "find", npz, "--where", "hat or not hat", "--show", page, "--overwrite")
    assert code == 0 and page.read_text().count("<img") == 9 and "There is no image" in page.read_text()


def test_records_and_images_move_together(npz: Path, tmp_path: Path, capfd) -> None:
    """The files of hits are found beside records that were moved with them."""
    new = tmp_path / "elsewhere"
    new.mkdir()
    npz.rename(new / "f.npz")
    (tmp_path / "rgb").rename(new / "rgb")

    _, printed, _ = said(capfd, "find", new / "f.npz", "--where", "hat or not hat", "--json")

    assert all(Path(hit["file"]).is_file() for hit in json.loads(printed)["hits"])


def test_what_cannot_be_answered(npz: Path, bundle: Path, attribute_bundle: Path, tmp_path: Path, capfd) -> None:
    """Exit code 2 or 7 with the reason: nothing asked, unknown labels, other feature spaces, missing halves."""
    query = tmp_path / "rgb" / "c03.png"
    half, long = tmp_path / "a.csv", tmp_path / "l.csv"
    long.write_text("name,embedding_0\na,3e38\nb,1\n")
    assert said(capfd, "attributes", attribute_bundle, tmp_path / "rgb", "--out", half)[0] == 0
    assert said(capfd, "extract", bundle, "--rgb", tmp_path / "rgb", "--out", tmp_path / "e.npz")[0] == 0
    assert (
        said(
            capfd, "extract", bundle, "--rgb", query.parent, "--sixteen-bit-range", "0:999", "--out", tmp_path / "x.npz"
        )[0]
        == 0
    )
    for arguments, wanted, message in (
        ((npz,), 2, "nothing to search for"),
        ((npz, "--where", "bakpack"), 2, "The nearest of 6: backpack"),
        ((npz, "--like", query), 2, "is no record. For an image, give --bundle"),
        ((npz, "--like", 11), 2, "There is no record 11: 11 are numbered from 0"),
        ((npz, "--like", 1, "--bundle", bundle), 2, "Leave it out"),
        ((npz, "--where", "hat", "--bundle", bundle), 2, "Leave it out"),
        ((npz, "--like", query, "--bundle", attribute_bundle), 7, "Open it with AttributeRecognizer"),
        ((npz, "--like", tmp_path / "gone.png", "--bundle", bundle), 2, "no image"),
        ((half, "--like", 0), 2, "has no embeddings"),
        ((long, "--like", 0), 2, "are not of length 1"),
        ((tmp_path / "e.npz", "--where", "hat"), 2, "has no attributes"),
        ((tmp_path / "x.npz", "--like", query, "--bundle", bundle), 2, "they cannot be compared"),
        ((tmp_path / "gone.csv", "--where", "hat"), 2, "There is no file of records"),
    ):
        code, printed, err = said(capfd, "find", *arguments)
        assert (code, printed) == (wanted, "") and message in err.replace("\n", " "), (arguments, err)
