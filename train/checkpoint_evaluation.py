"""Evaluation of a checkpoint by the task of its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..common.progress import Track, silent
from ..runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from ..runtime.data.readers.benchmarks import benchmark_info
from ..runtime.evaluation.evaluators import Evaluated, evaluation_options
from .attributes.evaluate_attributes import evaluate_loaded_attributes
from .models.checkpoints.weights import load_checkpoint
from .reid.evaluate import evaluate_reid_model

#: Function for the models of each task.
EVALUATIONS: dict[str, Callable[..., Evaluated]] = {
    RE_IDENTIFICATION: evaluate_reid_model,
    ATTRIBUTES: evaluate_loaded_attributes,
}


def evaluate_any_checkpoint(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    options: Mapping[str, Any],
    image_size: tuple[int, int] | None = None,
    switches: Mapping[str, Any] | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
) -> Evaluated:
    """Evaluate a checkpoint on a benchmark; `options` are the given fields of the options of its model's task.

    Raises:
        InputError: an unusable checkpoint, folder, switch or option, or one of another task.
        SetupError: `device` is not available, or the disk is too full.
        ArtifactError: a corrupt checkpoint, or outputs that are not finite.
    """
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(path, image_size, default_image_size=usual, dataset=dataset, **(switches or {}))
    task = model.spec.task
    values = evaluation_options(task, options)
    return EVALUATIONS[task](model, path, data, dataset, values, device, batch_size, track)
