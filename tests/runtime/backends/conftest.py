"""A tiny exported model with its selective scans, and fakes of TensorRT, for the backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trt_bench import GENERATIONS, Bench


@pytest.fixture(scope="session")
def tiny_onnx(tiny_checkpoint, tmp_path_factory) -> Path:
    """The tiny model as float32 ONNX, exported once."""
    from mambapro.export.pytorch.onnx_graph import onnx_from_model
    from mambapro.graph.onnx_file import save_onnx
    from mambapro.train.models.checkpoints.weights import load_checkpoint

    path = tmp_path_factory.mktemp("tiny-onnx") / "model.onnx"
    save_onnx(onnx_from_model(load_checkpoint(tiny_checkpoint)), path)
    return path


@pytest.fixture(scope="session")
def tiny_feeds():
    """Inputs of the tiny model by number of samples; the same in every call."""

    def feeds(samples: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(samples)
        images = {name: rng.integers(0, 256, (samples, 64, 32, 3)).astype(np.uint8) for name in ("rgb", "nir", "tir")}
        mask = np.ones((samples, 3), np.float32)
        mask[::3, 1] = 0
        return {**images, "camera": rng.integers(0, 5, samples), "modality_mask": mask}

    return feeds


@pytest.fixture(params=GENERATIONS)
def bench(request, tmp_path, monkeypatch):
    """One of each generation."""
    return Bench(request.param, tmp_path, monkeypatch)


@pytest.fixture
def one(tmp_path, monkeypatch):
    """The oldest generation alone, for what all of them share."""
    return Bench("10.3", tmp_path, monkeypatch)
