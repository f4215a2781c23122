"""A PyTorch model as a feature function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.runtime.data.batch import Batch
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.evaluation.retrieval.analysis import EvaluationOptions
from mambapro.synthetic.benchmark import draw_benchmark
from mambapro.train.engine.feature_function import torch_feature_function
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid.evaluate import evaluate_checkpoint

CAMERAS = np.array([0, 1, 1, 0, -1])


@pytest.fixture
def model() -> MambaPro:
    """The smallest complete model, in training mode."""
    torch.manual_seed(0)
    fields = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32}
    return build_model("tiny", image_size=(32, 16), cameras=2, identities=3, pixel_mean=(0.5, 0.4, 0.3), **fields)


@pytest.fixture
def batch() -> Batch:
    """Five uint8 images of each sensor."""
    random = np.random.default_rng(0)
    images = {m: random.integers(0, 256, (5, 32, 16, 3), dtype=np.uint8) for m in MODALITIES}
    return Batch.of(images, cameras=CAMERAS)


def test_features(model: MambaPro, batch: Batch) -> None:
    """Features are those of the model in evaluation mode on normalised images, one row per sample."""
    features = torch_feature_function(model, batch_size=2)(batch)

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.config.pixel_mean, model.config.pixel_std))
    images = torch.from_numpy(batch.stacked(MODALITIES)).permute(0, 1, 4, 2, 3) / 255
    with torch.no_grad():
        expected = model.eval()((images - mean) / std, torch.from_numpy(CAMERAS))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)


def test_mode_is_restored(model: MambaPro, batch: Batch) -> None:
    """A model in training mode is so afterwards, and its running statistics are untouched."""
    before = {name: value.clone() for name, value in model.named_buffers()}

    torch_feature_function(model.train())(batch)

    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("missing", [(0,), (2,), (0, 1)])
def test_missing_sensors(model: MambaPro, batch: Batch, missing: tuple[int, ...]) -> None:
    """A masked sensor is zero after normalisation, in every batch, whatever stands in its place."""
    mask = np.ones((5, 3), np.float32)
    mask[:, list(missing)] = 0
    features = torch_feature_function(model, batch_size=2)(Batch(batch.images, mask, CAMERAS))

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.config.pixel_mean, model.config.pixel_std))
    images = (torch.from_numpy(batch.stacked(MODALITIES)).permute(0, 1, 4, 2, 3) / 255 - mean) / std
    images[:, list(missing)] = 0
    with torch.no_grad():
        expected = model.eval()(images, torch.from_numpy(CAMERAS))
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)


def test_no_sensor(model: MambaPro, batch: Batch) -> None:
    """Without any sensor there is nothing to embed."""
    with pytest.raises(InputError, match="at least one"):
        torch_feature_function(model)(batch.only(()))


def test_evaluate_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint's report has the rows that were asked for, and names it."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 4), views=3)
    options = EvaluationOptions(bootstrap=10, subsets=True, per_modality=True)

    report = evaluate_checkpoint(tiny_checkpoint, tmp_path / "data", "rgbnt201", options=options, device="cpu")

    assert (report.model, report.whole.queries, len(report.rows)) == (str(tiny_checkpoint), 12, 10)
    assert len({row.report.per_query_ap for row in report.rows}) > 5


def test_batch_size(model: MambaPro) -> None:
    """A batch size below 1 raises ValueError."""
    with pytest.raises(ValueError, match="batch_size=0"):
        torch_feature_function(model, batch_size=0)
