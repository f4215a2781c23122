"""The reference outputs through the exported file: PyTorch's goldens, from ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mambapro.export.pytorch.onnx_graph import onnx_from_model
from mambapro.graph.onnx_file import save_onnx
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.train.models.checkpoints.weights import load_checkpoint
from reference_model import CONFIGS, expected, images, manifest


@pytest.mark.full
@pytest.mark.parametrize("config", CONFIGS)
def test_exported_file_returns_the_reference_features(config: str, reference_checkpoint, tmp_path: Path) -> None:
    """Every configuration, exported in float32, within 2e-4 of the reference's float64 features."""
    about, wanted = manifest(config), expected(config)
    pixels = images(about.dataset, about.image_size)
    feeds = {name: pixels[:, i] for i, name in enumerate(("rgb", "nir", "tir"))}
    feeds |= {"camera": wanted["cam"], "modality_mask": np.ones((len(pixels), 3), np.float32)}
    path = tmp_path / "model.onnx"
    save_onnx(onnx_from_model(load_checkpoint(reference_checkpoint(config), about.image_size, **about.switches)), path)

    found = OnnxRuntimeBackend(path, device="cpu").run(feeds)["embedding"]

    np.testing.assert_allclose(found, wanted["feat64"], rtol=0, atol=2e-4)
    path.unlink()
