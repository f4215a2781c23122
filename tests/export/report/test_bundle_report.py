"""The report of a bundle with artifacts of all kinds: nothing is dropped, everything is inside one safe page."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mambapro.common.html_pages import MOST_BYTES
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.export.pipeline import ExportReport
from mambapro.export.report import measure
from mambapro.export.report import write_report as run
from mambapro.export.report.bundle_report import BundleReport
from mambapro.export.report.measure import Measured
from mambapro.export.report.readiness import OPEN, READY, REFUSED
from mambapro.export.report.write_report import ReportOptions, report_bundle
from mambapro.runtime.bundle.artifact import Sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.runtime.evaluation.latency import END_TO_END, LatencyReport, Timing
from mambapro.runtime.evaluation.retrieval.analysis import EvaluationOptions
from PIL import Image

Reported = tuple[BundleReport, Path]


class Reader(HTMLParser):
    """Collects tags with their attributes and texts, and checks that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def reader(reported: Reported) -> Reader:
    """The page, read."""
    return Reader(reported[1].read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def one_round(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Timings are processes of their own: one round is enough where they are not what is tested."""
    if "turns" not in request.node.name:
        monkeypatch.setattr(measure, "ROUNDS", 1)


def test_every_file_has_its_verdict(reported: Reported) -> None:
    """What passed is ready, what departs is refused, what cannot run here is open and says why."""
    report, page = reported

    states = {file.name: file.verdict.state for file in report.files}
    assert states == {
        "onnxruntime-fp32": READY,
        "onnxruntime-int8": REFUSED,
        "openvino-fp32": READY,
        "tensorrt-int8": OPEN,
    }
    engine = report.files[-1]
    assert engine.measured.not_run and engine.measured.cosine is None
    assert any("no machine has verified it" in reason for reason in engine.verdict.reasons)
    assert report.state == READY and report.choice.name in ("onnxruntime-fp32", "openvino-fp32")
    assert report.page_bytes == page.stat().st_size
    for file in report.files[:-1]:
        assert file.measured.failure is file.measured.not_run is None
        assert file.measured.accuracy is not None and file.measured.latency is not None


def test_the_text_and_the_json_say_the_same(reported: Reported) -> None:
    """Both name every file with its verdict; the JSON is JSON."""
    report, _ = reported
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert [(file["name"], file["verdict"]["state"]) for file in found["files"]] == [
        (file.name, file.verdict.state) for file in report.files
    ]
    assert found["files"][1]["measured"]["against_base"][0]["name"] == "mAP"
    for file in report.files:
        assert re.search(rf"{file.name} +{file.verdict.state}", str(report))
    assert "tensorrt-int8 did not run here: " in str(report)


def test_the_page_stands_alone(reported: Reported, reader: Reader) -> None:
    """No script, no address of anything outside, a policy that forbids both, and small enough to be sent."""
    text = reported[1].read_text(encoding="utf-8")

    assert reader.open == []
    assert {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object", "form", "base"} == set()
    words = re.sub(r'src="data:[^"]+"', "", text)
    assert len(words) < 200_000 and not re.search(r"https?:|//[a-z]|@import|url\(|\ssrc=|\son\w+=", words)
    assert all(str(link["href"]).startswith("#") for link in reader.all("a"))
    (policy,) = [meta["content"] for meta in reader.all("meta") if "http-equiv" in meta]
    assert str(policy).startswith("default-src 'none'")
    assert len(text.encode()) < MOST_BYTES


def test_every_picture_decodes_and_is_described(reader: Reader) -> None:
    """Two strips and two pictures of the sensitivity, each whole and with words for who does not see it."""
    images = reader.all("img")

    assert len(images) == 4
    for image in images:
        kind, _, data = str(image["src"]).partition(";base64,")
        assert kind in ("data:image/png", "data:image/jpeg")
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.load()
        assert len(str(image["alt"])) > 20


def test_it_is_an_ordered_document(reader: Reader) -> None:
    """One title, sections that the contents lead to, tables with captions and heads."""
    sections = [section["id"] for section in reader.all("section")]

    assert reader.all("html") == [{"lang": "en"}] and len(reader.all("h1")) == 1
    assert [f"#{name}" for name in sections] == [link["href"] for link in reader.all("a")]
    assert len(reader.all("caption")) == len(reader.all("table")) > 8
    assert {head["scope"] for head in reader.all("th")} == {"col", "row"}


def test_what_others_named_is_escaped(reported: Reported, reader: Reader) -> None:
    """Names of folders, machines and files are text on the page, never markup."""
    text = reported[1].read_text(encoding="utf-8")

    assert reader.all("b") == reader.all("processor") == reader.all("why") == []
    assert "tiny & <b>.mambapro" in reader.text and "tiny &amp; &lt;b&gt;.mambapro" in text
    assert "CPU, a <processor>, 2 CPUs" in reader.text


@pytest.mark.parametrize(
    "words",
    (
        "May I deploy this?", "mAP drop, points", "third of tir", "nir+tir", "bootstrap resamples",
        "end to end", "p99", "aggregation.blocks.0.inter", "backbone.layers.3", "attention softmax", "int8",
        "The choices that were measured", "average precision", "compute capability 8.6", "feature space",
        "1 to 32, fastest at 8", "unverified, not run here",
    ),
)  # fmt: skip
def test_it_says_all_of_it(reader: Reader, words: str) -> None:
    """Gates, accuracy by sensors, latency, stages, precision map, sensitivity, retrievals, environment."""
    assert words in reader.text


def test_without_images_it_says_so(exports: dict[str, ExportReport], tmp_path: Path) -> None:
    """Without --data nothing is drawn in secret: the sections say what is missing and how to get it."""
    page = tmp_path / "report.html"

    report = report_bundle(ReportOptions(exports["fp16"].bundle, out=page, runs=1))

    reader = Reader(page.read_text(encoding="utf-8"))
    assert report.files[0].measured.accuracy is None and reader.all("img") == []
    assert report.state == OPEN and "Not yet: onnxruntime-fp16 has open questions" in reader.text
    for words in ("Labelled images are needed", "--data DATA --dataset", "--sensitivity takes its folder", "--trace"):
        assert words in reader.text


def test_without_resamples_the_differences_remain(
    rich_bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No intervals are wanted: the mAP is compared all the same, and nothing asks for images that were given."""
    page = tmp_path / "report.html"
    bf16_is_float32 = "computed in f32 here: this processor has no <bf16>"
    monkeypatch.setattr(measure, "_timed_in_turns", lambda bundle, artifacts, found, *_: found)
    monkeypatch.setattr(measure, "_other_type", lambda opened: bf16_is_float32 if opened.artifact.hint else None)
    folder = tmp_path / "b.mambapro"
    shutil.copytree(rich_bundle, folder)
    made = Bundle.open(folder).artifacts[2]
    bf16 = replace(made, precision="bf16", hint="bf16", accuracy=None, max_departure=1e-2)
    add_artifact(folder, bf16, {})

    report = report_bundle(ReportOptions(folder, data, "rgbnt201", out=page, strips=1, bootstrap=0))

    by_name = {file.name: file for file in report.files}
    difference = by_name["onnxruntime-int8"].measured.difference("mAP")
    assert difference is not None and difference.low is difference.not_better is None
    assert by_name["onnxruntime-int8"].verdict.accuracy is not None
    json.dumps(report.to_json(), allow_nan=False)
    text = page.read_text(encoding="utf-8")
    assert "with 95 % intervals" not in text and "bootstrap resamples" not in text
    other = by_name["openvino-bf16"]
    assert other.verdict.state == OPEN and other.map.hint is None and "bf16" not in other.map.shares()
    assert text.count("computed in f32 here: this processor has no &lt;bf16&gt;") >= 2


def test_a_file_that_fails_is_refused_and_the_others_go_on(
    exports: dict[str, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An artifact that breaks while it runs does not take the report with it."""

    def broken(*_: object) -> None:
        raise ArtifactError("it returned <NaN>")

    monkeypatch.setattr(measure, "replay", broken)
    page = tmp_path / "report.html"

    report = report_bundle(ReportOptions(exports["fp32"].bundle, out=page, runs=1))

    assert report.state == REFUSED
    assert "it failed on this machine: it returned &lt;NaN&gt;" in page.read_text(encoding="utf-8")


def test_timings_come_in_turns_and_one_that_fails_is_told(rich_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are timed in rounds, the middle round counts, and a timing that fails is a failure of its file."""
    bundle = Bundle.open(rich_bundle)
    artifacts = bundle.artifacts[:2]
    asked: list[tuple[str, tuple[int, ...]]] = []

    def timed(folder: Path, sidecar: Sidecar, batches: tuple[int, ...], runs: int) -> LatencyReport:
        asked.append((sidecar.stem, batches))
        if sidecar.precision == "int8":
            raise SetupError("no memory")
        times = (7.0, 30.0, 5.0)[len([stem for stem, _ in asked if stem == sidecar.stem]) - 1]
        timing = Timing(END_TO_END, batches[0], runs, times, times, times, times, 1.0)
        return LatencyReport("b", sidecar.stem, "fp32", "CPU", None, 2, 3, (2, 2), (1, 1), (timing,), None, None)

    monkeypatch.setattr(measure, "_timed", timed)

    found = measure.measure_all(bundle, artifacts, measure.Plan(None, EvaluationOptions(), (1, 4), 2))

    assert [stem for stem, _ in asked] == ["onnxruntime-fp32", "onnxruntime-int8", *["onnxruntime-fp32"] * 2]
    assert found[0].milliseconds(END_TO_END, 1) == 7.0 and found[0].failure is None
    (timing,) = found[0].latency.timings
    assert timing.rounds == (7.0, 30.0, 5.0)
    assert found[0].latency.warnings == (timing.warning(),) and "p50 between 5.00 and 30.00 ms" in timing.warning()
    assert found[1].latency is None and found[1].failure == "no memory"


def test_an_interrupt_leaves_nothing(
    exports: dict[str, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle leaves no page, and one that was there stays as it was."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "replay", interrupt)
    page = tmp_path / "report.html"
    page.write_text("before")

    with pytest.raises(KeyboardInterrupt):
        report_bundle(ReportOptions(exports["fp32"].bundle, out=page, overwrite=True))

    assert page.read_text() == "before" and list(tmp_path.iterdir()) == [page]


def test_the_folder_of_a_killed_report_goes(
    exports: dict[str, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next report removes what SIGKILL left in the folder for temporary files; others' folders stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mambapro-report-abcd1234.tmp" / "content" / "strips").mkdir(parents=True)
    (tmp_path / "mambapro-report").mkdir()

    def stop(*_: object) -> None:
        held = {path.name for path in tmp_path.glob("mambapro-report-*.tmp")}
        assert len(held) == 1 and "mambapro-report-abcd1234.tmp" not in held
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "measure_all", stop)
    with pytest.raises(KeyboardInterrupt):
        report_bundle(ReportOptions(exports["fp32"].bundle, out=tmp_path / "report.html"))

    assert [path.name for path in tmp_path.iterdir()] == ["mambapro-report"]


def test_a_page_that_appears_meanwhile_stays(
    exports: dict[str, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual error at the end of the work, and the other page is untouched; in a bundle none is written at all."""
    page = tmp_path / "report.html"

    def appears(*_: object) -> str:
        page.write_text("theirs")
        return "ours"

    monkeypatch.setattr(run, "measure_all", lambda bundle, artifacts, *_: [Measured()])
    monkeypatch.setattr(run, "page_of", appears)
    with pytest.raises(InputError, match="exists already"):
        report_bundle(ReportOptions(exports["fp32"].bundle, out=page))
    with pytest.raises(InputError, match="lies in the bundle"):
        report_bundle(ReportOptions(exports["fp32"].bundle, out=exports["fp32"].bundle / "report.html"))

    assert page.read_text() == "theirs"


def test_a_damaged_bundle_is_not_reported(exports: dict[str, ExportReport], tmp_path: Path) -> None:
    """A file that is not what was exported is an error, before anything is measured."""
    folder = tmp_path / "b.mambapro"
    shutil.copytree(exports["fp32"].bundle, folder)
    with open(folder / "golden.npz", "ab") as file:
        file.write(b"!")

    with pytest.raises(ArtifactError, match=r"golden\.npz"):
        report_bundle(ReportOptions(folder, out=tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"data": Path("x")}, "--data and --dataset belong together"),
        ({"dataset": "rgbnt201"}, "--data and --dataset belong together"),
        ({"runs": 0}, "runs, batches and strips of at least 1"),
        ({"batches": ()}, "runs, batches and strips of at least 1"),
        ({"out": Path("report.pdf")}, "name it like report.html"),
    ),
)
def test_options_that_cannot_be_meant(options: dict, message: str) -> None:
    """They are refused before the bundle is opened."""
    with pytest.raises(InputError, match=message):
        ReportOptions(Path("nowhere"), **options)


def test_a_page_that_is_there_stays(exports: dict[str, ExportReport], tmp_path: Path) -> None:
    """Nothing is replaced without overwrite, and that is said before the work."""
    page = tmp_path / "report.html"
    page.write_text("mine")

    with pytest.raises(InputError, match="--overwrite"):
        report_bundle(ReportOptions(exports["fp32"].bundle, out=page))
