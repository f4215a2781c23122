"""Evaluation of attribute checkpoints, and checkpoints with tuned thresholds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.readers.benchmarks import BENCHMARKS
from mambapro.runtime.data.sample import AttributeNames, Benchmark
from mambapro.runtime.evaluation.attributes.attribute_metrics import evaluate_attributes
from mambapro.train.attributes.evaluate_attributes import evaluate_attribute_checkpoint
from mambapro.train.checkpoint_evaluation import evaluate_any_checkpoint
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.registry import model_class
from mambapro.train.paper.explain.explain_attributes import AttributeExplainOptions, load_attributes
from noise_images import NAMES, noise_benchmark
from PIL import Image


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benchmark]:
    """Twelve test and twelve validation images of noise with random labels, as the data set "noise"."""
    with noise_benchmark(tmp_path_factory.mktemp("noise")) as found:
        yield found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained mini that names its labels, in another order than the data set."""
    torch.manual_seed(0)
    named = NAMED_MODELS["mini_par_image_vim_s"]
    path = tmp_path_factory.mktemp("checkpoint") / "mini.pth"
    facts = {"labels": {"names": NAMES[::-1], "thresholds": [0.45] * 10}, "dataset": "noise"}
    save_checkpoint(model_class(named.kind)(named.config).eval(), path, training=facts)
    return path


def test_checkpoint(checkpoint: Path, noise: Benchmark) -> None:
    """The values are those of the model's own logits, matched by the names of its labels, above 0.45."""
    report = evaluate_any_checkpoint(checkpoint, "data", "noise", options={"bootstrap": 0}, batch_size=5)

    images = np.stack([np.asarray(Image.open(sample.sources["rgb"].path)) for sample in noise.query])
    logits = load_checkpoint(checkpoint).run(Batch.of({"rgb": images}))["logits"]
    truth = np.array([[sample.labels[name] for name in NAMES[::-1]] for sample in noise.query])
    wanted = evaluate_attributes(truth, 1 / (1 + np.exp(-logits)) > 0.45).values
    assert report.to_json()["values"] == pytest.approx(wanted)
    assert [row["label"] for row in report.to_json()["labels"]] == list(NAMES[::-1])


@pytest.mark.usefixtures("noise")
def test_tuned_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """The new checkpoint holds the thresholds and how they came about, evaluates to the told values, and is the same
    model with the same facts otherwise."""
    out = tmp_path / "tuned.pth"
    options = {"tune_thresholds": True, "maximize": "mA", "out": out, "bootstrap": 0}

    report = evaluate_any_checkpoint(checkpoint, "data", "noise", options=options)
    again = evaluate_any_checkpoint(out, "data", "noise", options={"bootstrap": 0})

    first, second = load_checkpoint(checkpoint), load_checkpoint(out)
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())
    labels = second.trained_on.pop("labels")
    assert labels["names"] == list(NAMES[::-1]) and len(set(labels["thresholds"])) > 1
    assert second.trained_on == {
        "dataset": "noise",
        "tuned_thresholds": {"dataset": "noise", "objective": "mA", "samples": 12},
    }
    assert again.to_json()["values"] == report.to_json()["values"] != report.to_json()["before_tuning"]
    assert [row["threshold"] for row in again.to_json()["labels"]] == labels["thresholds"]


@pytest.mark.usefixtures("noise")
def test_existing_and_odd_targets(checkpoint: Path, tmp_path: Path) -> None:
    """InputError before anything is read: the file exists, or is no checkpoint by its name."""
    (tmp_path / "x.pth").write_text("mine")
    for name, words in (("x.pth", "overwrite"), ("x.mambapro", "--out is a checkpoint, .pth or .safetensors")):
        with pytest.raises(InputError, match=words):
            evaluate_any_checkpoint(
                checkpoint, "data", "noise", options={"tune_thresholds": True, "out": tmp_path / name}
            )
    assert (tmp_path / "x.pth").read_text() == "mine"


def test_without_names(checkpoint: Path, noise: Benchmark, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that names no labels takes those of a data set of as many, with a warning; of others it is refused."""
    save_checkpoint(load_checkpoint(checkpoint), tmp_path / "bare.pth")

    with caplog.at_level(logging.WARNING):
        report = evaluate_attribute_checkpoint(tmp_path / "bare.pth", "data", "noise")

    assert [row.label for row in report.labels] == list(NAMES) and "does not name its 10 labels" in caplog.text
    smaller = replace(noise, attributes=AttributeNames(NAMES[:1], NAMES[:1]))
    BENCHMARKS["noise"] = replace(BENCHMARKS["noise"], reader=lambda *_: smaller)
    try:
        with pytest.raises(InputError, match="10 labels without names, and noise has 1"):
            evaluate_attribute_checkpoint(tmp_path / "bare.pth", "data", "noise")
    finally:
        BENCHMARKS["noise"] = replace(BENCHMARKS["noise"], reader=lambda *_: noise)


def test_benchmark_of_another_task(checkpoint: Path) -> None:
    """InputError before a folder is read: the data set is for another task."""
    with pytest.raises(InputError, match=r"RGBNT201 \(rgbnt201\) is a benchmark for re-identification"):
        evaluate_any_checkpoint(checkpoint, "data", "rgbnt201", options={})


def test_re_identification_on_attributes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The task is checked first: no remark on identities, cameras or the image size of the authors' file."""
    model = build_model("tiny", image_size=(64, 32), cameras=4, identities=5)
    save_checkpoint(model, tmp_path / "ours.pth", training={"dataset": "rgbnt201"})
    save_checkpoint(model, tmp_path / "authors.pth", layout="authors")
    explained = AttributeExplainOptions([tmp_path / "authors.pth"], tmp_path, "pa100k", tmp_path / "out")

    for name in ("ours", "authors"):
        words = rf"PA100K \(pa100k\) is a benchmark for attributes; the model in .*{name}.pth needs one for re-id"
        with pytest.raises(InputError, match=words):
            evaluate_any_checkpoint(tmp_path / f"{name}.pth", "data", "pa100k", options={})
    with pytest.raises(InputError, match="is a benchmark for attributes; the model in"):
        load_attributes(tmp_path / "authors.pth", explained)
    assert "identities" not in caplog.text


def test_words_for_a_model_without_text(checkpoint: Path) -> None:
    """InputError in the words of the command: the option has no place in an image-only model."""
    with pytest.raises(InputError, match=r"mini.pth holds a model of kind image_attributes, .* no --label-tokens\."):
        load_checkpoint(checkpoint, label_tokens=np.zeros((10, 10), np.int64))
