"""A PyTorch model as the feature function that mambapro.runtime.evaluation.retrieval.evaluate measures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.readers.benchmarks import benchmark_info, read_benchmark
from ...runtime.evaluation.retrieval.analysis import EvaluationOptions, evaluate_model
from ...runtime.evaluation.retrieval.evaluate import SensorImages, SubsetFunction
from ...runtime.evaluation.retrieval.report import EvaluationReport
from ..engine.device import resolve_device
from ..engine.image_ranges import model_preprocessing
from ..models.checkpoints.weights import load_checkpoint
from ..models.mambapro.mambapro import MambaPro


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


def torch_feature_function(model: MambaPro, batch_size: int = 32) -> SubsetFunction:
    """Raw features (N, dim) float32 of uint8 images: three lists (rgb, nir, tir) of (H, W, 3) and cameras (N,).

    A list that is None stands for a sensor that is missing for all: its images are zero after normalisation.

    Raises:
        ValueError: a batch size below 1; in the function, no sensor at all (InputError).
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1.")

    def features(rgb: SensorImages, nir: SensorImages, tir: SensorImages, cameras: np.ndarray) -> np.ndarray:
        sensors = (rgb, nir, tir)
        present = next((images for images in sensors if images is not None), None)
        if present is None:
            raise InputError("All sensors are None. Give the images of at least one.")
        complete = all(images is not None for images in sensors)
        mask = None if complete else np.array([[images is not None for images in sensors]], np.float32)
        parts = []
        for start in range(0, len(present), batch_size):
            window = slice(start, start + batch_size)
            shown = [np.stack((present if images is None else images)[window]) for images in sensors]
            rows = None if mask is None else np.repeat(mask, len(shown[0]), axis=0)
            parts.append(embed(model, np.stack(shown, axis=1), cameras[window], rows))
        return np.concatenate(parts)

    return features


def evaluate_checkpoint(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    image_size: tuple[int, int] | None = None,
    switches: Mapping[str, Any] | None = None,
    options: EvaluationOptions | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
) -> EvaluationReport:
    """mAP, CMC, mINP of a checkpoint on a benchmark, and what `options` ask for beside them.

    Raises:
        InputError: a checkpoint, folder, switch or option that cannot be used.
        SetupError: `device` is not there, or no room for the strips.
        ArtifactError: a corrupt checkpoint, or features that are not finite.
    """
    benchmark = read_benchmark(dataset, data, test_only=True)
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(path, image_size, default_image_size=usual, dataset=dataset, **(switches or {}))
    model = model.to(resolve_device(device))
    preprocessing = model_preprocessing(model)
    function = torch_feature_function(model, batch_size)
    return evaluate_model(
        benchmark, function, preprocessing, options, model=str(path), batch_size=batch_size, track=track
    )


def _channels(values: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.float32, device=device).view(3, 1, 1)
