"""A checkpoint of attributes beside its bundles: mA, F1, their drops, and the labels that are assigned alike."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.cli.main import run
from mambapro.errors import InputError
from mambapro.export.comparison import checkpoint_worker
from mambapro.export.comparison import compare as module
from mambapro.export.comparison.compare import Comparison, compare_bundles
from mambapro.export.comparison.comparison_rows import PYTORCH, AttributeComparisonRow
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.synthetic.attribute_benchmark import draw_attribute_set
from mambapro.train.attributes.evaluate_attributes import evaluate_attribute_checkpoint
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.registry import model_class


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn PA100K of few images."""
    root = tmp_path_factory.mktemp("attributes") / "pa100k"
    draw_attribute_set(root, "pa100k", seed=1, images=330)
    return root


@pytest.fixture(scope="module")
def checkpoint(data: Path) -> Path:
    """An untrained tiny model whose logits lie on both sides of the threshold."""
    torch.manual_seed(0)
    names = read_benchmark("pa100k", data, test_only=True).attributes
    labels = Labels.of_attributes(names.names, names.words, names.exclusive)
    named = NAMED_MODELS["mini_par_image_vit_b"]
    model = model_class(named.kind)(replace(named.config, attributes=len(names.names)))
    path = data.parent / "mini.safetensors"
    save_checkpoint(model.eval(), path, training={"labels": labels.to_json(), "dataset": "pa100k"})
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    """Its float32 bundle."""
    return export_bundle(ExportOptions(checkpoint, dataset="pa100k")).bundle


def test_a_checkpoint_beside_its_bundle(
    checkpoint: Path, bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command evaluates both on the test part and times them in real processes; float32 assigns the same."""
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    where = ["--data", str(data), "--dataset", "pa100k", "--runs", "2", "--rounds", "2", "--json"]

    assert run(["compare", "--ckpt", str(checkpoint), str(bundle), *where]) == 0
    found = json.loads(capsys.readouterr().out)

    first, second = found["rows"]
    values = evaluate_attribute_checkpoint(checkpoint, data, "pa100k", device="cpu").report.values
    assert (first["model"], second["model"]) == (PYTORCH, bundle.name) and found["gallery"] == 0
    assert found["queries"] == len(read_benchmark("pa100k", data, test_only=True).query)
    assert first["accuracy"] == pytest.approx({name: values[name] for name in ("mA", "F1")})
    assert first["drop"] == {"mA": 0, "F1": 0} and first["label_agreement"] == 1
    assert second["label_agreement"] > 0.999 and second["drop"] == pytest.approx({"mA": 0, "F1": 0}, abs=1e-3)
    assert len(second["rounds"]) == 2 and min(second["rounds"]) > 0


def test_table() -> None:
    """Drops are in points beside their metric; images are counted, not queries."""
    times = (10.0, (9.5, 10.0, 11.0))
    rows = (
        AttributeComparisonRow(
            PYTORCH, {"mA": 0.8, "F1": 0.75}, {"mA": 0.0, "F1": 0.0}, 1.0, *times, 1.0, (1.0, 1.0, 1.0)
        ),
        AttributeComparisonRow(
            "int8", {"mA": 0.7875, "F1": 0.75}, {"mA": 0.0125, "F1": 0.0}, 0.9876, *times, 2.0, (2.0, 2.0, 2.0)
        ),
    )

    title, head, first, second = str(Comparison("pa100k", 33, 0, 2, rows)).splitlines()

    assert title == "pa100k: 33 images, 2 CPU cores"
    assert head.split()[:7] == ["model", "mA", "drop", "F1", "drop", "same", "labels"]
    assert first.split()[2:7] == ["80.0%", "0.00", "75.0%", "0.00", "100.00%"]
    assert second.split()[1:6] == ["78.8%", "1.25", "75.0%", "0.00", "98.76%"]


def test_other_thresholds_are_refused(checkpoint: Path, bundle: Path, data: Path, tmp_path: Path) -> None:
    """InputError before anything is evaluated: the bundle of a checkpoint whose thresholds were tuned afterwards."""
    model = load_checkpoint(checkpoint)
    facts = dict(model.trained_on)
    facts["labels"] = {**facts["labels"], "thresholds": [0.5] * len(facts["labels"]["names"])}
    save_checkpoint(model, tmp_path / "tuned.pth", training=facts)
    shutil.copytree(bundle, tmp_path / "copy.mambapro")

    with pytest.raises(InputError, match=r"copy.mambapro has other labels or thresholds than .*tuned.pth"):
        compare_bundles(tmp_path / "tuned.pth", [tmp_path / "copy.mambapro"], data, "pa100k")
    with pytest.raises(InputError, match="no bundle to compare"):
        compare_bundles(checkpoint, [], data, "pa100k")


def test_arrays_reach_the_process() -> None:
    """Token ids and vectors that were given as files go to the timing process with their types."""
    for array in (np.arange(6).reshape(2, 3), np.ones((2, 3), np.float32) / 3):
        sent = json.loads(json.dumps(checkpoint_worker.plain(array)))
        received = checkpoint_worker._value(sent)
        assert received.dtype == array.dtype and np.array_equal(received, array)
    assert checkpoint_worker._value(checkpoint_worker.plain(0.5)) == 0.5
