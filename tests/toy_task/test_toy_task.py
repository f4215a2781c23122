"""A second task from training to int8, added by registration alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import mambapro
import numpy as np
import pytest
import toy
from mambapro.errors import AccuracyError, InputError
from mambapro.export.artifacts.build_artifact import build_artifact
from mambapro.export.artifacts.build_options import BuildOptions, QuantizeOptions
from mambapro.export.pipeline import ExportReport, export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.export.report import write_report
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.metadata_parts import CardFields
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.evaluation.attributes.labeled_images import labeled_images
from mambapro.runtime.evaluation.evaluators import evaluate_any_bundle
from mambapro.runtime.evaluation.gates.accuracy import accuracy_gate, require_accuracy
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.session import Session
from mambapro.runtime.verification.check import check_bundle
from mambapro.train.checkpoint_evaluation import evaluate_any_checkpoint
from mambapro.train.engine.loop import fit
from mambapro.train.engine.training_config import ModelSettings, Solver, TrainConfig
from mambapro.train.engine.training_report import FitReport
from mambapro.train.models.checkpoints.weights import load_checkpoint

CONFIG = TrainConfig("toy", model=ModelSettings(frozen=False), solver=Solver(epochs=12, warmup_epochs=0, base_lr=5e-3))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.draw(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def trained(data: Path) -> FitReport:
    return fit(CONFIG, data, "toy", data.parent / "run", device="cpu")


@pytest.fixture(scope="module")
def exported(trained: FitReport) -> ExportReport:
    return export_bundle(ExportOptions(Path(trained.checkpoint), trace=True, card=CardFields("MIT")))


@pytest.fixture(scope="module")
def logits(trained: FitReport, exported: ExportReport) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images by modality, and PyTorch's logits of them."""
    images = {"rgb": np.random.default_rng(1).integers(0, 256, (5, 32, 16, 3), dtype=np.uint8)}
    return images, load_checkpoint(trained.checkpoint).run(Batch.of(images))["logits"]


def test_trains(trained: FitReport) -> None:
    """The loss falls, the validation is the task's own, and the log names the task's losses."""
    assert trained.epochs[-1].loss < 0.8 * trained.epochs[0].loss
    assert "validation accuracy" in str(trained.epochs[-1]) and trained.epochs[-1].validation > 0.6
    header = Path(trained.checkpoint).with_name("log.csv").read_text().splitlines()[0]
    assert header.endswith("validation_accuracy,cross_entropy")
    assert trained.to_json()["samples"] == 64


def test_exports(exported: ExportReport) -> None:
    """The file agrees with PyTorch in every logit and label, stage by stage; the bundle says what it is."""
    report = exported.parity

    assert report.passed and report.role == "logits" and [s.stage for s in report.stages] == ["stem", "body", "logits"]
    assert report.subsets[0].sensors == "rgb" and report.subsets[0].rank_agreement == 1.0
    metadata = json.loads((exported.bundle / "metadata.json").read_text())
    assert (metadata["task"], metadata["embedding"], metadata["modalities"]) == ("attributes", None, ["rgb"])
    assert metadata["modules"]["float32"] == ["head"] and metadata["feature_space"] is None
    card = (exported.bundle / "MODEL_CARD.md").read_text()
    assert "| labels | 3, sigmoid |" in card and "| green | - | - | - |" in card and "| weights | MIT |" in card
    assert metadata["labels"] == {"names": ["red", "green", "blue"], "activation": "sigmoid", "thresholds": []}


def test_is_checked_and_run(exported: ExportReport, logits: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    """`mambapro check` replays the goldens, and a session returns PyTorch's logits."""
    images, wanted = logits

    report = check_bundle(exported.bundle)
    with Session(exported.bundle, RunOptions(device="cpu")) as session:
        found = session.run(Batch.of(images))["logits"]

    assert report.artifacts[0].largest_departure < 1e-4
    assert "\nfingerprint  " in str(report) and "feature space" not in str(report)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_report(exported: ExportReport, data: Path, tmp_path: Path) -> None:
    """The page has the task's own values, labels, pictures and words; images of another task are refused before a file
    is hashed or measured."""
    labeled = {"data": data, "dataset": "toy", "bootstrap": 20, "runs": 1, "strips": 2}

    report = write_report.report_bundle(
        write_report.ReportOptions(exported.bundle, out=tmp_path / "report.html", **labeled)  # type: ignore[arg-type]
    )

    page = (tmp_path / "report.html").read_text()
    accuracy = report.files[0].measured.accuracy
    assert report.state == "ready" and accuracy is not None and accuracy.to_json()["values"]["mA"] > 0.6
    assert report.metric == "mA" and "|difference| of logits" in str(report) and " mA " in str(report)
    for words in (
        "to 3 labels, for",
        "largest |difference| of logits",
        "Accuracy of the labels",
        "majority",
        ">green<",
    ):
        assert words in page, words
    # two labels of three, those that are recognized worst
    assert page.count("others assigned it</figcaption>") == 2
    assert ">mAP" not in page and " embedding" not in page
    with pytest.raises(InputError, match=r"RGBNT201 \(rgbnt201\) is a benchmark for re-identification"):
        write_report.report_bundle(
            write_report.ReportOptions(exported.bundle, data=data, dataset="rgbnt201", out=tmp_path / "other.html")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_half_precision(trained: FitReport, data: Path, tmp_path: Path) -> None:
    """Float16 keeps the head in float32 and passes the gates on logits, mA and F1 of labeled images."""
    images = {"dataset": "toy", "data": str(data)}
    options = ExportOptions(Path(trained.checkpoint), "fp16", output=tmp_path / "half.mambapro", **images)

    report = export_bundle(options)

    accuracy = report.parity.accuracy
    assert report.parity.passed and 0 < report.parity.max_departure <= 2e-2
    assert accuracy is not None and (accuracy.metric, accuracy.queries, accuracy.gallery) == ("mA", 64, 0)
    assert accuracy.reference > 0.6 and abs(accuracy.drop) < 0.005
    assert [other.metric for other in accuracy.others] == ["F1"]
    assert "mA " in str(report) and "; F1 " in str(report) and "max |diff|" in str(report)


def test_is_quantised(data: Path, exported: ExportReport, logits: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    """Int8 of the body alone passes its gates, is checked, and decides the labels as PyTorch does."""
    images, wanted = logits
    quantize = QuantizeOptions(calib=data, calib_images=32)
    options = BuildOptions("onnxruntime", "int8", force=True, quantize=quantize, dataset="toy", data=str(data))

    report = build_artifact(exported.bundle, options)
    checked = check_bundle(exported.bundle)
    with Session(exported.bundle, RunOptions(device="cpu", target="onnxruntime", precision="int8")) as session:
        found = session.run(Batch.of(images))["logits"]

    cosine, accuracy = report.artifact.cosine, report.artifact.accuracy
    assert report.artifact.quantized == ("body",)
    assert cosine is not None and cosine.measure == "|difference| of logits" and cosine.largest <= 0.5
    assert accuracy is not None and accuracy.metric == "mA" and max(accuracy.drop, accuracy.others[0].drop) <= 0.01
    assert "|difference| of logits at most" in str(checked)
    card = (exported.bundle / "MODEL_CARD.md").read_text()
    assert "| onnxruntime-int8 | mA | toy | 64 |" in card and "| onnxruntime-int8 | F1 | toy | 64 |" in card
    assert {item.artifact for item in checked.artifacts} == {"onnxruntime-fp32", "onnxruntime-int8"}
    assert 0 < np.abs(found - wanted).max() < 0.5


def test_is_evaluated(trained: FitReport, data: Path, exported: ExportReport) -> None:
    """Checkpoint and bundle give the same values and labels, by the task of the model; others' options are refused."""
    ckpt = evaluate_any_checkpoint(trained.checkpoint, data, "toy", options={"bootstrap": 20}).to_json()
    bundle = evaluate_any_bundle(exported.bundle, data, "toy", {"bootstrap": 20}, RunOptions(device="cpu")).to_json()

    assert bundle["values"] == pytest.approx(ckpt["values"]) and bundle["values"]["mA"] > 0.6
    assert bundle["intervals"] == ckpt["intervals"] and bundle["majority"]["mA"] == 0.5
    assert [row["label"] for row in bundle["labels"]] == ["red", "green", "blue"]
    for options, words in (({"subsets": True}, "--subsets is for re-"), ({"tune_thresholds": True}, "belong together")):
        with pytest.raises(InputError, match=words):
            evaluate_any_bundle(exported.bundle, data, "toy", options, RunOptions(device="cpu"))
    tuned = {"tune_thresholds": True, "out": data.parent / "x.mambapro"}
    with pytest.raises(InputError, match="tuned on the checkpoint and exported with it"):
        evaluate_any_bundle(exported.bundle, data, "toy", tuned, RunOptions(device="cpu"))


def test_an_artifact_that_loses_labels_fails(
    data: Path, exported: ExportReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AccuracyError names the metric, the data set and the limit, where an artifact loses more mA than it may."""
    benchmark = toy.read_toy(data)
    with (
        Session(exported.bundle, RunOptions(device="cpu")) as reference,
        Session(exported.bundle, RunOptions(device="cpu")) as found,
    ):
        run = found.run
        monkeypatch.setattr(found, "run", lambda batch: {"logits": -run(batch)["logits"]})
        gate = accuracy_gate(reference, found, benchmark, 0.005)

    assert gate.found == pytest.approx(1 - gate.reference) and gate.low <= gate.drop <= gate.high
    with pytest.raises(AccuracyError, match=r"loses \d+\.\d+ points of mA on toy: .* 64 images\); 0.50 are allowed"):
        require_accuracy(gate, "It")


def test_other_images_are_refused(exported: ExportReport, data: Path) -> None:
    """InputError names the labels of the model that a benchmark lacks."""
    samples = tuple(replace(sample, labels={"red": 1}) for sample in toy.read_toy(data).query)

    with pytest.raises(InputError, match="toy labels none of its 64 test samples with green, blue"):
        labeled_images(replace(toy.read_toy(data), query=samples), Bundle.open(exported.bundle).metadata)


def test_no_branch_on_a_task() -> None:
    """No module compares the name of a task: what depends on it stands in registries."""
    root = Path(mambapro.__file__).parent
    folders = ("common", "plugins", "runtime", "graph", "synthetic", "train", "calib", "export", "cli")
    branch = re.compile(r"\btask\s*[!=]=|==\s*(\w+\.)?(RE_IDENTIFICATION|ATTRIBUTES)\b")
    sources = {path: path.read_text() for name in folders for path in (root / name).rglob("*.py")}

    assert branch.search("if metadata.task == 'a':") and branch.search("x == tasks.ATTRIBUTES") and len(sources) > 200
    assert [str(path.relative_to(root)) for path, text in sources.items() if branch.search(text)] == []
