"""Trained models as functions of a batch, for the runtime's evaluation."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...runtime.data.batch import Batch
from ...runtime.evaluation.retrieval.evaluate import FeatureFunction
from ..models.model_spec import Model


def torch_feature_function(model: Model, batch_size: int = 32) -> FeatureFunction:
    """Return a function from a Batch to the compared output float32 (N, dim); missing images are zero.

    Raises:
        ValueError: a batch size below 1; in the function, a sample without any image (InputError).
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1.")

    def features(batch: Batch) -> np.ndarray:
        """Compute the outputs of a batch."""
        if not batch.mask.any(axis=1).all():
            raise InputError("A sample has no image of any sensor. Give the images of at least one.")
        return np.concatenate([model.run(part)[model.spec.output.name] for part in batch.parts(batch_size)])

    return features
