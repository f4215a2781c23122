"""Evaluation of a PyTorch model with mambapro.runtime.evaluation.retrieval.evaluate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...common.progress import Track, silent
from ...runtime.bundle.tasks import RE_IDENTIFICATION
from ...runtime.data.readers.benchmarks import benchmark_info, read_benchmark, require_benchmark_of
from ...runtime.evaluation.retrieval.analysis import EvaluationOptions, evaluate_model
from ...runtime.evaluation.retrieval.report import EvaluationReport
from ..engine.device import resolve_device
from ..engine.feature_function import torch_feature_function
from ..engine.image_ranges import model_preprocessing
from ..models.checkpoints.weights import load_checkpoint
from ..models.model_spec import Model, require_embedding


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
    """Measure mAP, CMC and mINP of a checkpoint on a benchmark, and the analyses of `options`.

    Raises:
        InputError: an unusable checkpoint, folder, switch or option.
        SetupError: `device` is not available, or the disk is too full for the strips.
        ArtifactError: a corrupt checkpoint, or features that are not finite.
    """
    usual = benchmark_info(dataset).image_size
    model = load_checkpoint(path, image_size, default_image_size=usual, dataset=dataset, **(switches or {}))
    require_embedding(model, path)
    return evaluate_reid_model(model, path, data, dataset, options, device, batch_size, track)


def evaluate_reid_model(
    model: Model,
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    options: EvaluationOptions | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
) -> EvaluationReport:
    """Evaluate a loaded model, called `path` in the report, as `evaluate_checkpoint`."""
    require_benchmark_of(RE_IDENTIFICATION, dataset)
    benchmark = read_benchmark(dataset, data, test_only=True)
    model = model.to(resolve_device(device))
    preprocessing = model_preprocessing(model)
    function = torch_feature_function(model, batch_size)
    return evaluate_model(
        benchmark, function, preprocessing, options, model=str(path), batch_size=batch_size, track=track
    )
