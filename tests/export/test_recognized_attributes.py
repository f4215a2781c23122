"""An exported attribute model recognizes what PyTorch does, alone and beside an extractor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_exports import *  # noqa: F403 - fixtures
from attribute_exports import TINY_LABELS, AttributeExport
from mambapro import AttributeRecognizer, Extractor, Pipeline, load_checkpoint
from mambapro.cli.main import run
from mambapro.runtime.records.record_file import read_records
from PIL import Image
from small_bundles import *  # noqa: F403 - fixtures


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    """Nine smooth random crops of 128x64 pixels."""
    rng = np.random.default_rng(1)
    (tmp_path / "crops").mkdir()
    paths = [tmp_path / "crops" / f"{i}.png" for i in range(9)]
    for path in paths:
        small = Image.fromarray(rng.integers(0, 256, (8, 4, 3), np.uint8))
        small.resize((64, 128), Image.Resampling.BICUBIC).save(path)
    return paths


def probabilities_of(checkpoint: Path, crops: list[Path]) -> np.ndarray:
    """PyTorch's own: resized by Pillow, scaled to -1 to 1, the sigmoid of the logits."""
    images = [np.asarray(Image.open(path).resize((64, 64), Image.Resampling.BILINEAR)) for path in crops]
    scaled = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    model = load_checkpoint(checkpoint)
    with torch.inference_mode():
        return model.eval()(scaled).sigmoid().numpy()


def test_probabilities_are_those_of_pytorch(tiny_attribute_export: AttributeExport, crops: list[Path]) -> None:
    """Probabilities, names, thresholds and groups of the bundle are those of the checkpoint."""
    wanted = probabilities_of(tiny_attribute_export.checkpoint, crops)

    with AttributeRecognizer(tiny_attribute_export.bundle, "cpu", batch_size=4) as recognizer:
        found = recognizer(crops)
    with AttributeRecognizer(tiny_attribute_export.bundle, "cpu", exclusive="best", thresholds=0.0) as recognizer:
        best = recognizer(crops)

    np.testing.assert_allclose(found.probabilities, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.assigned, wanted > 0.45)
    assert found.labels == TINY_LABELS and wanted.std(axis=0).max() > 1e-3
    trousers, skirt = TINY_LABELS.index("trousers"), TINY_LABELS.index("skirt")
    np.testing.assert_array_equal(best.assigned[:, trousers], wanted[:, trousers] >= wanted[:, skirt])
    assert (best.assigned[:, trousers] ^ best.assigned[:, skirt]).all()


def test_both_tasks(tiny_attribute_export: AttributeExport, bundle: Path, crops: list[Path], tmp_path: Path) -> None:
    """Embeddings, and attributes of an exported model, from one decode, in Python and in a file."""
    with (
        Extractor(bundle, "cpu") as extractor,
        AttributeRecognizer(tiny_attribute_export.bundle, "cpu") as recognizer,
    ):
        found = Pipeline([extractor, recognizer])(crops)
        wanted = extractor(crops)
    command = (
        "extract",
        bundle,
        "--rgb",
        crops[0].parent,
        "--attributes",
        tiny_attribute_export.bundle,
    )
    assert run([*map(str, command), "--out", str(tmp_path / "f.npz")]) == 0

    records = read_records(tmp_path / "f.npz")
    np.testing.assert_allclose(found.embeddings, wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        found.attributes.probabilities, probabilities_of(tiny_attribute_export.checkpoint, crops), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(records.embeddings, wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(records.probabilities, found.attributes.probabilities, rtol=0, atol=1e-5)


def test_find_by_the_labels_of_the_checkpoint(
    tiny_attribute_export: AttributeExport, crops: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From a folder to the crops with a label in two commands."""
    out = tmp_path / "a.jsonl"
    assert run(["attributes", str(tiny_attribute_export.bundle), str(crops[0].parent), "--out", str(out)]) == 0
    wanted = probabilities_of(tiny_attribute_export.checkpoint, crops)[:, TINY_LABELS.index("short sleeve")]
    capfd.readouterr()
    limit = float(np.sort(wanted)[4:6].mean())

    assert run(["find", str(out), "--where", f"'short sleeve' > {limit:.6f}", "--json"]) == 0

    hits = json.loads(capfd.readouterr().out)["hits"]
    assert [hit["row"] for hit in hits] == np.argsort(-wanted, kind="stable")[:4].tolist()
