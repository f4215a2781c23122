"""Evaluation of an attribute model from images on disk, with a model that reads the answer from the pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.data.sample import AttributeNames, Benchmark, ImageSource, Sample
from mambapro.runtime.evaluation.attributes import attribute_evaluation
from mambapro.runtime.evaluation.attributes.attribute_evaluation import (
    AttributeOptions,
    LabeledModel,
    evaluate_attribute_model,
)
from mambapro.runtime.evaluation.attributes.labeled_images import labels_by_position
from mambapro.runtime.evaluation.reference_features import Model
from PIL import Image

COLORS = ("red", "green", "blue")
NAMES = AttributeNames(COLORS, ("red clothes", "green clothes", "blue clothes"))
LABELS = Labels(COLORS, thresholds=(0.45,) * 3)


def drawn(folder: Path, values: list[tuple[int, int, int]], prefix: str) -> tuple[Sample, ...]:
    """One image for each (red, green, blue); it has a color above 128."""
    folder.mkdir(exist_ok=True)
    samples = []
    for number, color in enumerate(values):
        path = folder / f"{prefix}{number}.png"
        Image.new("RGB", (4, 8), color).save(path)
        truth = {name: int(value > 128) for name, value in zip(COLORS, color, strict=True)}
        samples.append(Sample(path.name, {"rgb": ImageSource(path)}, labels=truth))
    return tuple(samples)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Test: six images; validation: four."""
    test = [(200, 10, 10), (200, 200, 10), (10, 180, 10), (10, 10, 250), (150, 140, 20), (90, 100, 110)]
    val = [(200, 200, 200), (10, 10, 10), (140, 140, 140), (120, 120, 120)]
    return Benchmark("colors", (), drawn(tmp_path, test, "t"), (), "", (8, 4), drawn(tmp_path, val, "v"), NAMES)


def model(lift: float = 0.0, names: tuple[str, ...] = COLORS) -> Model:
    """Logits that are positive above 128, plus `lift`, in the order of `names`."""
    columns = [COLORS.index(name) for name in names]

    def logits(batch: Batch) -> np.ndarray:
        return (batch.images["rgb"][:, 0, 0][:, columns].astype(np.float32) - 128) / 10 + lift

    return Model("a model", logits, Preprocessing(8, 4, (0.5,) * 3, (0.5,) * 3), 4)


def test_values(benchmark: Benchmark) -> None:
    """A perfect model has 1 everywhere, beside the majority; intervals, counts of each label, JSON, the table."""
    report = evaluate_attribute_model(benchmark, LabeledModel(model(), LABELS), AttributeOptions(bootstrap=50))

    assert report.report.values["mA"] == 1 and report.samples == 6 and report.before is None
    # the last image has no color, so its recall and F1 are 0
    assert report.report.values["F1"] == pytest.approx(5 / 6)
    assert report.intervals["mA"].low <= 1 and report.intervals["F1"].low < 5 / 6
    assert [(row.positives, row.negatives) for row in report.labels] == [(3, 3), (3, 3), (1, 5)]
    values = json.loads(json.dumps(report.to_json()))
    assert values["majority"]["mA"] == 0.5 and values["labels"][0]["label"] == "red"
    assert values["calibration_error"] < 0.1 and values["resamples"] == 50
    text = str(report)
    assert "colors: 6 test samples, 3 labels" in text and "majority" in text and "F1 of means: 2PR/(P+R)" in text


def test_labels_are_matched_by_name(benchmark: Benchmark) -> None:
    """A model of fewer labels in another order is evaluated on these."""
    names = ("blue", "red")

    report = evaluate_attribute_model(benchmark, LabeledModel(model(names=names), Labels(names)))

    assert [row.label for row in report.labels] == ["blue", "red"] and report.report.values["mA"] == 1


def test_other_labels(benchmark: Benchmark) -> None:
    """InputError names the missing label, both numbers, and the first difference of the lists."""
    for names, words in (
        (
            ("red", "grey", "blue"),
            r"with grey\. a model has 3 labels, the data set 3; .* label 2: grey of the model, green",
        ),
        ((*COLORS, "grey"), "has 4 labels, the data set 3; .* label 4: grey of the model, none of the data set"),
    ):
        with pytest.raises(InputError, match=words):
            evaluate_attribute_model(benchmark, LabeledModel(model(), Labels(names)))


def test_labels_by_position(benchmark: Benchmark, caplog: pytest.LogCaptureFixture) -> None:
    """A model without names takes those of the data set, with a warning and 0.45; another number is refused."""
    labels = labels_by_position(benchmark, 3, "x.pth")

    assert labels == replace(LABELS, words=NAMES.words) and "in the order of colors, from red to blue" in caplog.text
    with pytest.raises(InputError, match=r"x.pth has 4 labels without names, and colors has 3"):
        labels_by_position(benchmark, 4, "x.pth")


def test_tuned_on_validation_alone(benchmark: Benchmark, tmp_path: Path) -> None:
    """A model that is too bold is mended by the validation images; the test part decides nothing."""
    options = AttributeOptions(bootstrap=0, tune_thresholds=True, out=tmp_path / "tuned")
    written: list[Labels] = []

    report = evaluate_attribute_model(
        benchmark, LabeledModel(model(lift=5.0), LABELS), options, lambda labels, _: written.append(labels)
    )
    others = replace(benchmark, query=benchmark.query[:2])
    evaluate_attribute_model(
        others, LabeledModel(model(lift=5.0), LABELS), options, lambda labels, _: written.append(labels)
    )

    # between the logits of 120 (4.2) and of 140 (6.2)
    assert written[0].limits == pytest.approx([5.2] * 3) and written[0] == written[1]
    assert report.report.values["mA"] == 1 and report.before is not None and report.before.values["mA"] < 1
    assert "thresholds before" in str(report) and "tuned for F1 on 4 validation samples" in str(report)


def test_no_validation_part(benchmark: Benchmark, tmp_path: Path) -> None:
    """InputError: thresholds are not tuned on what they are evaluated on."""
    options = AttributeOptions(tune_thresholds=True, out=tmp_path / "tuned")

    with pytest.raises(InputError, match="colors has no validation part here, and thresholds are never tuned on"):
        evaluate_attribute_model(replace(benchmark, validation=()), LabeledModel(model(), LABELS), options, None)


@pytest.mark.parametrize("name", ["t1.png", "v1.png"])
def test_unusable_images(benchmark: Benchmark, tmp_path: Path, name: str) -> None:
    """An unreadable image is an error that names it, or with skip_bad left out of its part and listed."""
    (tmp_path / name).write_bytes(b"no image")
    options = AttributeOptions(tune_thresholds=True, out=tmp_path / "tuned", bootstrap=0)

    with pytest.raises(InputError, match=f"{name}.* --skip-bad leaves such samples out"):
        evaluate_attribute_model(benchmark, LabeledModel(model(), LABELS), options, lambda *_: None)
    report = evaluate_attribute_model(
        benchmark, LabeledModel(model(), LABELS), replace(options, skip_bad=True), lambda *_: None
    )

    test, validation = ([name], []) if name[0] == "t" else ([], [name])
    assert report.tuning is not None
    assert [left for left, _ in report.left_out] == test and [left for left, _ in report.tuning.left_out] == validation
    assert f"1 {'validation ' if validation else ''}samples left out" in str(report) and str(report).count(name) == 1
    assert [left for left, _ in report.all_left_out] == [name] and report.all_samples == 10
    assert [len(each["left_out"]) for each in (report.to_json(), report.to_json()["tuning"])] == [
        len(test),
        len(validation),
    ]
    assert report.tuning is not None and (report.samples, report.tuning.samples) == (
        (5, 4) if name[0] == "t" else (6, 3)
    )


def test_nothing_is_written_after_a_failure(
    benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tuned model is written when the test part is evaluated."""
    monkeypatch.setattr(attribute_evaluation, "majority_report", lambda _: 1 / 0)
    options = AttributeOptions(tune_thresholds=True, out=tmp_path / "tuned")

    with pytest.raises(ZeroDivisionError):
        evaluate_attribute_model(benchmark, LabeledModel(model(), LABELS), options, lambda *_: pytest.fail("written"))


def test_options() -> None:
    """Negative numbers, other objectives, and one of --tune-thresholds and --out alone are InputErrors."""
    for given, words in (
        ({"bootstrap": -1}, "bootstrap >= 0"),
        ({"maximize": "recall", "tune_thresholds": True, "out": Path("x")}, "F1 or mA"),
        ({"maximize": "mA"}, "--maximize says what --tune-thresholds tunes for"),
        ({"tune_thresholds": True}, "belong together"),
        ({"out": Path("x")}, "belong together"),
    ):
        with pytest.raises(InputError, match=words):
            AttributeOptions(**given)  # type: ignore[arg-type]
