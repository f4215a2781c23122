"""Evaluation of an attribute model in PyTorch, and checkpoints with tuned thresholds."""

from __future__ import annotations

import os
from typing import Any

from ...common.files.targets import require_free
from ...common.foreign_text import escaped
from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.tasks import ATTRIBUTES
from ...runtime.data.readers.benchmarks import read_benchmark, require_benchmark_of
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.attributes.attribute_evaluation import (
    AttributeOptions,
    LabeledModel,
    evaluate_attribute_model,
)
from ...runtime.evaluation.attributes.attribute_report import AttributeEvaluation
from ...runtime.evaluation.attributes.labeled_images import labels_by_position
from ...runtime.evaluation.reference_features import Model as EvaluatedModel
from ..engine.device import resolve_device
from ..engine.feature_function import torch_feature_function
from ..engine.image_ranges import model_preprocessing
from ..models.checkpoints.weights import load_checkpoint, save_checkpoint
from ..models.model_spec import Model

#: Keys of a checkpoint's training facts: the labels, and how their thresholds were tuned.
LABELS, TUNED = "labels", "tuned_thresholds"
#: Suffixes of the checkpoints that are written.
_SUFFIXES = (".pth", ".safetensors")


def evaluate_attribute_checkpoint(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    *,
    options: AttributeOptions | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
    **loading: Any,
) -> AttributeEvaluation:
    """Evaluate an attribute checkpoint on the test part of a data set; `loading` are arguments of `load_checkpoint`.

    Raises:
        InputError: an unusable checkpoint, data set or option; other labels.
        SetupError: `device` is not available, or the disk is too full.
        ArtifactError: a corrupt checkpoint, or outputs that are not finite.
    """
    model = load_checkpoint(path, **loading)
    return evaluate_loaded_attributes(model, path, data, dataset, options, device, batch_size, track)


def evaluate_loaded_attributes(
    model: Model,
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    dataset: str,
    options: AttributeOptions | None = None,
    device: str = "auto",
    batch_size: int = 32,
    track: Track = silent,
) -> AttributeEvaluation:
    """Evaluate a loaded model, called `path` in the report, as `evaluate_attribute_checkpoint`."""
    options = options or AttributeOptions()
    if options.out is not None:
        if options.out.suffix not in _SUFFIXES:
            raise InputError(f"--out is a checkpoint, {' or '.join(_SUFFIXES)}, not {escaped(options.out.name)}.")
        require_free(options.out, options.overwrite)
    require_benchmark_of(ATTRIBUTES, dataset)
    benchmark = read_benchmark(dataset, data, test_only=not options.tune_thresholds)
    labels = checkpoint_labels(model, path, benchmark)
    model = model.to(resolve_device(device))
    function, preprocessing = torch_feature_function(model, batch_size), model_preprocessing(model)
    one = EvaluatedModel(str(path), function, preprocessing, batch_size)

    def write(tuned: Labels, report: AttributeEvaluation) -> None:
        """Write the checkpoint with tuned thresholds."""
        assert options.out is not None and report.tuning is not None
        note = {"dataset": dataset, "objective": report.tuning.objective, "samples": report.tuning.samples}
        facts = {**model.trained_on, LABELS: tuned.to_json(), TUNED: note}
        save_checkpoint(model, options.out, training=facts, overwrite=options.overwrite)

    return evaluate_attribute_model(benchmark, LabeledModel(one, labels), options, write, track)


def checkpoint_labels(model: Model, path: str | os.PathLike[str], benchmark: Benchmark) -> Labels:
    """Return the labels of a checkpoint; those of a file that names none are the benchmark's, with a warning.

    Raises:
        InputError: a file that names none, and a benchmark with another number of labels.
    """
    if model.spec.labels is not None:
        return model.spec.labels
    (count,) = model.spec.output.shape[1:]
    return labels_by_position(benchmark, int(count), str(path))
