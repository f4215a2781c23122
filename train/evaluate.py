"""A PyTorch model as the feature function that mambapro.runtime.evaluate measures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..runtime.data.benchmarks import benchmark_info, read_benchmark
from ..runtime.evaluate import FeatureFunction, evaluate_benchmark
from ..runtime.metrics import RetrievalReport
from ..runtime.preprocess import Preprocessing
from ..runtime.progress import Track, silent
from .device import resolve_device
from .models.mambapro import MambaPro
from .models.weights import load_checkpoint


def embed(model: MambaPro, images: np.ndarray, cameras: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Raw features (B, dim) float32 of one batch, in evaluation mode, on the model's device.

    Args:
        images: uint8 (B, 3 modalities, H, W, 3); normalised here with the constants of `model.config`.
        cameras: int64 (B,).
        mask: float32 (B, 3), 0 where a sensor is missing: its image is zero after normalisation.
    """
    training = model.training
    x = normalised(model, images, mask)
    camera_ids = torch.from_numpy(np.asarray(cameras, dtype=np.int64)).to(x.device)
    model.eval()
    try:
        with torch.inference_mode():
            return model(x, camera_ids).float().cpu().numpy()
    finally:
        model.train(training)


def normalised(model: MambaPro, images: np.ndarray, mask: np.ndarray | None = None) -> torch.Tensor:
    """What `model` takes, on its device: uint8 (B, 3, H, W, 3) and mask as for `embed` -> (B, 3, 3 channels, H, W)."""
    device = next(model.parameters()).device
    mean, std = (_channels(values, device) for values in (model.config.pixel_mean, model.config.pixel_std))
    x = (torch.from_numpy(images).to(device).permute(0, 1, 4, 2, 3).float() / 255 - mean) / std
    return x if mask is None else x * torch.from_numpy(mask).to(device).view(*mask.shape, 1, 1, 1)


def torch_feature_function(model: MambaPro, batch_size: int = 32) -> FeatureFunction:
    """Raw features (N, dim) float32 of uint8 images: three lists (rgb, nir, tir) of (H, W, 3) and cameras (N,).

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1.")

    def features(
        rgb: Sequence[np.ndarray], nir: Sequence[np.ndarray], tir: Sequence[np.ndarray], cameras: np.ndarray
    ) -> np.ndarray:
        parts = []
        for start in range(0, len(rgb), batch_size):
            window = slice(start, start + batch_size)
            images = np.stack([np.stack(list(sensor[window])) for sensor in (rgb, nir, tir)], axis=1)
            parts.append(embed(model, images, cameras[window]))
        return np.concatenate(parts)

    return features


def evaluate_checkpoint(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    image_size: tuple[int, int] | None = None,
    switches: Mapping[str, Any] | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
) -> RetrievalReport:
    """mAP and CMC of a checkpoint on a benchmark.

    Raises:
        InputError: a checkpoint, folder or switch that cannot be used.
        SetupError: `device` is not there.
        ArtifactError: a corrupt checkpoint, or features that are not finite.
    """
    benchmark = read_benchmark(dataset, data)
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(path, image_size, default_image_size=usual, **(switches or {})).to(resolve_device(device))
    config = model.config
    height, width = config.image_size
    preprocessing = Preprocessing(height=height, width=width, mean=config.pixel_mean, std=config.pixel_std)
    return evaluate_benchmark(benchmark, torch_feature_function(model, batch_size), preprocessing, batch_size, track)


def _channels(values: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.float32, device=device).view(3, 1, 1)
