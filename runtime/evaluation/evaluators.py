"""Registry of the evaluations of `mambapro eval`, one for each task."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...common.files.atomic import write_atomically
from ...common.progress import Track, silent
from ...common.task_options import task_options
from ..bundle.bundle import Bundle
from ..bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from ..data.skipped import Skipped, writer_of_skipped
from ..run_options import RunOptions
from .attributes.attribute_bundles import evaluate_attribute_bundle
from .attributes.attribute_evaluation import AttributeOptions
from .retrieval.analysis import EvaluationOptions
from .retrieval.evaluate_bundle import evaluate_bundle


class Evaluated(Protocol):
    """Report of any evaluation."""

    @property
    def all_samples(self) -> int:
        """Number of samples of every part, with those left out."""

    @property
    def all_left_out(self) -> tuple[tuple[str, str], ...]:
        """Samples (name, reason) of every part with an unusable image."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""


@dataclass(frozen=True)
class Evaluator:
    """Evaluation of the models of one task: its options, and the function for bundles."""

    options: type[Any]
    of_bundle: Callable[[Path, str | os.PathLike[str], str, Any, RunOptions, Track], Evaluated]


EVALUATORS = {
    RE_IDENTIFICATION: Evaluator(EvaluationOptions, evaluate_bundle),
    ATTRIBUTES: Evaluator(AttributeOptions, evaluate_attribute_bundle),
}


def evaluation_options(task: str, values: Mapping[str, Any]) -> Any:
    """Build the options of a task's evaluation from those that were given, by field.

    Raises:
        InputError: an option of another task, or a value that cannot be used.
    """
    types = {other: evaluator.options for other, evaluator in EVALUATORS.items()}
    return task_options(types, task, values, reranking="rerank")


def evaluate_any_bundle(
    path: Path,
    data: str | os.PathLike[str],
    dataset: str,
    options: Mapping[str, Any],
    running: RunOptions,
    track: Track = silent,
) -> Evaluated:
    """Evaluate a bundle by its task; `options` are the given fields of that task's options.

    Raises:
        InputError, SetupError, ArtifactError: as the function of the task.
    """
    task = Bundle.open(path, running.verify).metadata.task
    return EVALUATORS[task].of_bundle(path, data, dataset, evaluation_options(task, options), running, track)


def write_left_out(path: Path, report: Evaluated, overwrite: bool) -> None:
    """Write the list of the samples that an evaluation skipped.

    Raises:
        InputError: the file exists and may not be replaced.
        SetupError: the disk is full or permission is missing.
    """
    left_out = [Skipped(name, "", "", reason) for name, reason in report.all_left_out]
    write_atomically(path, writer_of_skipped(report.all_samples, left_out), overwrite=overwrite)
