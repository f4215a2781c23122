"""Parts of a report on a model for attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.progress import Track
from ...errors import InputError
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.attributes.attribute_evaluation import (
    AttributeOptions,
    LabeledModel,
    evaluate_attribute_model,
)
from ...runtime.evaluation.attributes.attribute_metrics import attribute_differences
from ...runtime.evaluation.attributes.attribute_report import AttributeEvaluation
from ...runtime.evaluation.bootstrap import PairedDifference
from ...runtime.evaluation.gates.accuracy import session_model
from ...runtime.session import Session


@dataclass(frozen=True)
class LabelPicture:
    """Right and wrong decisions on one label as a PNG, and its numbers as alternative text."""

    png: bytes
    text: str


def options(metadata: BundleMetadata, bootstrap: int, seed: int, strips: Path, count: int) -> AttributeOptions:
    """Return the options of the evaluation; `count` labels are chosen when all are drawn."""
    return AttributeOptions(bootstrap, seed, strips=strips)


def evaluate(
    session: Session, name: str, benchmark: Benchmark, chosen: AttributeOptions, track: Track, base: bool
) -> AttributeEvaluation:
    """Evaluate a file.

    Raises:
        InputError: the model does not name its labels, or the benchmark lacks one of them.
    """
    labels = session.metadata.labels
    if labels is None:
        raise InputError(f"{name} does not name its labels, so it cannot be evaluated. Leave out --data and --dataset.")
    return evaluate_attribute_model(benchmark, LabeledModel(session_model(session), labels), chosen, track=track)


def differences(
    first: AttributeEvaluation, second: AttributeEvaluation, resamples: int, seed: int
) -> Sequence[PairedDifference]:
    """Return the differences of every value."""
    return attribute_differences(first.report, second.report, resamples, seed)


def value(report: AttributeEvaluation) -> float:
    """Return the mA."""
    return report.report.values["mA"]


def interval(report: AttributeEvaluation) -> str:
    """Return the interval of the mA."""
    return str(report.intervals["mA"]) if report.intervals else ""


def count(report: AttributeEvaluation) -> str:
    """Return the number of samples in words."""
    return f"{report.samples} images"


def returns(metadata: BundleMetadata) -> str:
    """Return the number of labels in words."""
    return f"{metadata.output.shape[1]} labels"


def picture(entry: Mapping[str, Any], png: bytes) -> LabelPicture:
    """Return the decisions on one label."""
    return LabelPicture(
        png,
        f"{entry['label']}: {entry['found']} of {entry['positives']} that have it found, {entry['false']} of "
        f"{entry['negatives']} others assigned it",
    )


def chosen(entries: Sequence[Mapping[str, Any]], most: int) -> Sequence[Mapping[str, Any]]:
    """Return the labels with the lowest mean of both recalls; those without positives or negatives come last."""

    def quality(entry: Mapping[str, Any]) -> float:
        """Return the mean of the recalls."""
        positives, negatives = entry["positives"], entry["negatives"]
        if not positives or not negatives:
            return 2.0
        return entry["found"] / positives + 1 - entry["false"] / negatives

    return sorted(entries, key=quality)[:most]
