"""Evaluation of a bundle of an attribute model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ....common.foreign_text import shown_text
from ....common.progress import Track, silent
from ....errors import InputError
from ...bundle.tasks import ATTRIBUTES
from ...data.readers.benchmarks import read_benchmark, require_benchmark_of
from ...extractor import open_session
from ...run_options import RunOptions
from ...suited import warn_of_other_benchmark
from ..gates.accuracy import session_model
from .attribute_evaluation import AttributeOptions, LabeledModel, evaluate_attribute_model
from .attribute_report import AttributeEvaluation


def evaluate_attribute_bundle(
    path: Path,
    data: str | os.PathLike[str],
    dataset: str,
    options: AttributeOptions,
    running: RunOptions,
    track: Track = silent,
) -> AttributeEvaluation:
    """Evaluate an artifact of a bundle on the test part of a data set; `running.batch_size` samples at a time.

    Raises:
        InputError: an unusable bundle, data set or option, or no such artifact.
        SetupError, ArtifactError: the artifact cannot be loaded or run.
    """
    if options.tune_thresholds:
        raise InputError(
            "Thresholds are tuned on the checkpoint and exported with it: each file of a bundle holds them, and passed "
            "its gates with them. Give the checkpoint with --ckpt, then export what --out wrote."
        )
    require_benchmark_of(ATTRIBUTES, dataset)
    benchmark = read_benchmark(dataset, data, test_only=True)
    with open_session(path, running) as session:
        labels = session.metadata.labels
        if labels is None:
            raise InputError(
                f"The model of {shown_text(path)} does not name its labels, so it cannot be evaluated. Export it again "
                "with the names of its labels."
            )
        warn_of_other_benchmark(session.metadata, dataset)
        model = replace(session_model(session), name=f"{path}, {session.artifact.stem}")
        return evaluate_attribute_model(benchmark, LabeledModel(model, labels), options, track=track)
