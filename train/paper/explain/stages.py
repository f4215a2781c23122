"""Features of samples at the stages of a model: class tokens before the aggregation, its parts after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ....common.progress import Track, silent
from ....runtime.data.batch import Batch
from ....runtime.data.modalities import MODALITIES
from ....runtime.data.preprocess import Preprocessing
from ....runtime.data.sample import Sample
from ....runtime.evaluation.retrieval.evaluate import extract_features
from ....runtime.evaluation.retrieval.metrics import normalised as unit_rows
from ...engine.image_ranges import model_preprocessing
from ...models.mambapro.mambapro import MambaPro

BEFORE, AFTER = "before aggregation", "after aggregation"
BATCH = 32


@dataclass(frozen=True)
class Features:
    """Features by stage, each float32 (N, 3 modalities, dim).

    `stages` has BEFORE, the backbone's class tokens (f_cls in the paper), and if the model aggregates AFTER, the three
    parts of the fused feature (f_final, eq. 18).
    """

    stages: dict[str, np.ndarray]

    @property
    def final(self) -> np.ndarray:
        """Feature of retrieval: the last stage, float32 (N, 3, dim)."""
        return self.stages[AFTER] if AFTER in self.stages else self.stages[BEFORE]


def preprocessing_of(model: MambaPro) -> Preprocessing:
    """Return the image preprocessing of `model`."""
    return model_preprocessing(model)


def stage_features(model: MambaPro, samples: Sequence[Sample], track: Track = silent) -> Features:
    """Compute the features of all samples in order; `model` is in evaluation mode.

    Raises:
        InputError: an unreadable image.
        ArtifactError: features that are not finite; the message names samples.
    """

    def extract(batch: Batch) -> np.ndarray:
        """Return the stages of a batch, concatenated (B, ...)."""
        x = model.normalised(batch.stacked(MODALITIES)).transpose(0, 1)
        with torch.inference_mode():
            tokens = model.backbone(x, torch.from_numpy(batch.cameras).to(x.device))
            stages = [torch.cat(tuple(tokens[:, :, 0]), -1)]
            if model.config.mamba:
                stages.append(model.feature(tokens))
        return torch.cat(stages, -1).float().cpu().numpy()

    features = extract_features(samples, extract, preprocessing_of(model), BATCH, track)
    names = (BEFORE, AFTER) if model.config.mamba else (BEFORE,)
    return Features(
        {
            name: part.reshape(len(samples), 3, -1)
            for name, part in zip(names, np.split(features, len(names), axis=1), strict=True)
        }
    )


def identity_directions(features: np.ndarray, labels: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Return the direction that separates each sample's identity from the others.

    This is the direction of the identity's mean, less the mean of the other identities' directions: a unit vector's
    product with it is its cosine to its own identity, less its mean cosine to the others. Components common to all
    samples cancel out. The sample itself is excluded from its identity's mean.

    Args:
        features: (N, dim), of any length; each is scaled to length 1.
        labels: identities (N,), at least two, each at least twice.
        rows: indices of the requested samples.

    Returns:
        float32 (rows, dim).
    """
    units = unit_rows(features)
    directions = []
    for row in rows:
        mask = labels == labels[row]
        mask[row] = False
        rest = [units[labels == identity].mean(axis=0) for identity in np.unique(labels) if identity != labels[row]]
        directions.append(
            unit_rows(units[mask].mean(axis=0, keepdims=True))[0] - unit_rows(np.stack(rest)).mean(axis=0)
        )
    return np.stack(directions).astype(np.float32)
