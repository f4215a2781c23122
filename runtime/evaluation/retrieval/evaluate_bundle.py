"""Evaluation of a bundle on a benchmark."""

from __future__ import annotations

import os
from pathlib import Path

from ....common.progress import Track, silent
from ...bundle.tasks import RE_IDENTIFICATION
from ...data.readers.benchmarks import read_benchmark, require_benchmark_of
from ...extractor import Extractor
from ...run_options import RunOptions
from ...suited import warn_of_other_benchmark
from .analysis import EvaluationOptions, evaluate_model
from .evaluate import feature_function
from .report import EvaluationReport


def evaluate_bundle(
    path: Path,
    data: str | os.PathLike[str],
    dataset: str,
    options: EvaluationOptions,
    running: RunOptions,
    track: Track = silent,
) -> EvaluationReport:
    """Evaluate an artifact of a bundle on the test part of a benchmark; `running.batch_size` samples at a time.

    Raises:
        InputError: an unusable bundle or benchmark, or no such artifact.
        SetupError, ArtifactError: the artifact cannot be loaded or run.
    """
    require_benchmark_of(RE_IDENTIFICATION, dataset)
    benchmark = read_benchmark(dataset, data, test_only=True)
    with Extractor.with_options(path, running) as extractor:
        warn_of_other_benchmark(extractor.metadata, dataset)
        return evaluate_model(
            benchmark,
            feature_function(extractor),
            extractor.preprocessing,
            options,
            model=f"{path}, {extractor.artifact.stem}",
            batch_size=running.batch_size or extractor.batch_size,
            track=track,
        )
