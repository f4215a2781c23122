"""A PyTorch model as a feature function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mambapro.train.evaluate import torch_feature_function
from mambapro.train.models.mambapro import MambaPro
from mambapro.train.models.sizes import build_model

CAMERAS = np.array([0, 1, 1, 0, -1])


@pytest.fixture
def model() -> MambaPro:
    """The smallest complete model, in training mode."""
    torch.manual_seed(0)
    fields = {"width": 64, "depth": 1, "embed_dim": 32, "scan_channels": 32}
    return build_model("tiny", image_size=(32, 16), cameras=2, identities=3, pixel_mean=(0.5, 0.4, 0.3), **fields)


@pytest.fixture
def images() -> list[list[np.ndarray]]:
    """Five uint8 images of each sensor."""
    random = np.random.default_rng(0)
    return [list(random.integers(0, 256, (5, 32, 16, 3), dtype=np.uint8)) for _ in range(3)]


def test_features(model: MambaPro, images: list[list[np.ndarray]]) -> None:
    """Features are those of the model in evaluation mode on normalised images, one row per sample."""
    features = torch_feature_function(model, batch_size=2)(*images, CAMERAS)

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.config.pixel_mean, model.config.pixel_std))
    batch = torch.from_numpy(np.stack(images, axis=1)).permute(0, 1, 4, 2, 3) / 255
    with torch.no_grad():
        expected = model.eval()((batch - mean) / std, torch.from_numpy(CAMERAS))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)


def test_mode_is_restored(model: MambaPro, images: list[list[np.ndarray]]) -> None:
    """A model in training mode is so afterwards, and its running statistics are untouched."""
    before = {name: value.clone() for name, value in model.named_buffers()}

    torch_feature_function(model.train())(*images, CAMERAS)

    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_batch_size(model: MambaPro) -> None:
    """A batch size below 1 raises ValueError."""
    with pytest.raises(ValueError, match="batch_size=0"):
        torch_feature_function(model, batch_size=0)
