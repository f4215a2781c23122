"""Evaluation of a bundle on a benchmark, and the list of skipped samples."""

from __future__ import annotations

import os
from pathlib import Path

from ....common.files.atomic import write_atomically
from ....common.progress import Track, silent
from ...data.readers.benchmarks import read_benchmark
from ...data.skipped import Skipped, writer_of_skipped
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


def write_left_out(path: Path, report: EvaluationReport, overwrite: bool) -> None:
    """Write the list of the samples that an evaluation skipped.

    Raises:
        InputError: the file exists and may not be replaced.
        SetupError: the disk is full or permission is missing.
    """
    left_out = [Skipped(name, "", "", reason) for name, reason in report.left_out]
    write_atomically(path, writer_of_skipped(report.samples + len(left_out), left_out), overwrite=overwrite)
