"""Features of samples at the stages a model has: class tokens before the aggregation, its parts after."""

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
    return model_preprocessing(model)


def stage_features(model: MambaPro, samples: Sequence[Sample], track: Track = silent) -> Features:
    """Features of all samples in order, from a model in evaluation mode.

    Raises:
        InputError: an unreadable image.
        ArtifactError: features that are not finite; names samples.
    """

    def extract(batch: Batch) -> np.ndarray:
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
    """For some samples what tells their identity from the others, float32 (rows, dim).

    That is the direction of the identity's mean, less the mean of the other identities' directions: a unit vector's
    product with it is its cosine to its own identity, less its mean cosine to the others. What all samples have in
    common cancels out. The sample itself is left out of its identity's mean.

    Args:
        features: (N, dim), of any length; each counts with length 1.
        labels: identities (N,), at least two, each at least twice.
        rows: indices of the samples asked for.
    """
    units = unit_rows(features)
    directions = []
    for row in rows:
        own = labels == labels[row]
        own[row] = False
        rest = [units[labels == identity].mean(axis=0) for identity in np.unique(labels) if identity != labels[row]]
        directions.append(unit_rows(units[own].mean(axis=0, keepdims=True))[0] - unit_rows(np.stack(rest)).mean(axis=0))
    return np.stack(directions).astype(np.float32)
