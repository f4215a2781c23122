"""Features of samples at the stages a model has: class tokens before the aggregation, its parts after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import InputError
from ...runtime.data.sample import Sample
from ...runtime.evaluate import extract_features
from ...runtime.metrics import normalised as unit_rows
from ...runtime.preprocess import Preprocessing
from ...runtime.progress import Track, silent
from ..evaluate import normalised
from ..models.mambapro import MambaPro

BEFORE, AFTER = "before MA", "after MA"
BATCH = 32


@dataclass(frozen=True)
class Features:
    """Features by stage, each float32 (N, 3 modalities, dim).

    `stages` has BEFORE, the backbone's class tokens (f_cls in the paper), and where the model aggregates AFTER, the
    three parts of the fused feature (f_final, eq. 18).
    """

    stages: dict[str, np.ndarray]

    @property
    def final(self) -> np.ndarray:
        """What retrieval compares: the last stage, float32 (N, 3, dim)."""
        return self.stages[AFTER] if AFTER in self.stages else self.stages[BEFORE]


def preprocessing_of(model: MambaPro) -> Preprocessing:
    """How images become the input of `model`."""
    height, width = model.config.image_size
    return Preprocessing(height=height, width=width, mean=model.config.pixel_mean, std=model.config.pixel_std)


def stage_features(model: MambaPro, samples: Sequence[Sample], track: Track = silent) -> Features:
    """Features of all samples in order, from a model in evaluation mode.

    Raises:
        InputError: an unreadable image, or a model whose feature has no part for each modality.
        ArtifactError: features that are not finite; names samples.
    """

    def extract(rgb: list[np.ndarray], nir: list[np.ndarray], tir: list[np.ndarray], cameras: np.ndarray) -> np.ndarray:
        images = np.stack([np.stack(sensor) for sensor in (rgb, nir, tir)], axis=1)
        x = normalised(model, images).transpose(0, 1)
        with torch.inference_mode():
            tokens = model.backbone(x, torch.from_numpy(cameras).to(x.device))
            stages = [torch.cat(tuple(tokens[:, :, 0]), -1)]
            if model.config.mamba:
                stages.append(model.feature(tokens))
        for stage in stages:
            require_parts(stage.shape[-1], model.config.embed_dim)
        return torch.cat(stages, -1).float().cpu().numpy()

    features = extract_features(samples, extract, preprocessing_of(model), BATCH, track)
    names = (BEFORE, AFTER) if model.config.mamba else (BEFORE,)
    return Features(
        {
            name: part.reshape(len(samples), 3, -1)
            for name, part in zip(names, np.split(features, len(names), axis=1), strict=True)
        }
    )


def require_parts(length: int, dim: int) -> None:
    """Raise InputError unless a feature of `length` values is three parts of `dim`, one for each modality."""
    if length != 3 * dim:
        raise InputError(
            f"The model's feature has {length} values, not three parts of {dim}, so no part belongs to one modality "
            "and these pictures cannot be made of it. Give a checkpoint of another aggregation."
        )


def identity_means(features: np.ndarray, labels: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """For some samples the direction of their identity: the mean of the *other* samples of it, float32 (rows, dim).

    Args:
        features: (N, dim), of any length; each counts with length 1.
        labels: identities (N,), each at least twice.
        rows: indices of the samples asked for.

    Returns:
        Rows of length 1.
    """
    units = unit_rows(features)
    means = []
    for row in rows:
        others = labels == labels[row]
        others[row] = False
        means.append(units[others].mean(axis=0))
    return unit_rows(np.stack(means)).astype(np.float32)
