"""Parts of a report on a model for re-identification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.progress import Track
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.data.batch import MODALITY_MASK
from ...runtime.data.modalities import MODALITIES
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.bootstrap import PairedDifference, paired_differences
from ...runtime.evaluation.feature_cache import extractor_identity
from ...runtime.evaluation.gates.accuracy import require_extractor
from ...runtime.evaluation.retrieval.analysis import EvaluationOptions, evaluate_model
from ...runtime.evaluation.retrieval.evaluate import feature_function
from ...runtime.evaluation.retrieval.report import EvaluationReport
from ...runtime.session import Session


@dataclass(frozen=True)
class StripPicture:
    """Ranked retrieval as a PNG, and its numbers as alternative text."""

    png: bytes
    query: str
    average_precision: float
    first_match: int
    right: int
    shown: int

    @property
    def text(self) -> str:
        """Caption."""
        return (
            f"{self.query}: average precision {100 * self.average_precision:.1f} %, first match at rank "
            f"{self.first_match}, {self.right} of the first {self.shown} right"
        )


def options(metadata: BundleMetadata, bootstrap: int, seed: int, strips: Path, count: int) -> EvaluationOptions:
    """Return all evaluations that the model supports."""
    return EvaluationOptions(
        bootstrap,
        seed,
        subsets=bool(metadata.names(MODALITY_MASK)),
        per_modality=metadata.dim % len(MODALITIES) == 0,
        strips=strips,
        strips_count=count,
    )


def evaluate(
    session: Session, name: str, benchmark: Benchmark, chosen: EvaluationOptions, track: Track, base: bool
) -> EvaluationReport:
    """Evaluate a file; the features of the reference, `base`, are cached: it is the same in every report."""
    extractor = require_extractor(session)
    identity = extractor_identity(extractor) if base else None
    function, preprocessing = feature_function(extractor), extractor.preprocessing
    return evaluate_model(benchmark, function, preprocessing, chosen, model=name, track=track, identity=identity)


def differences(
    first: EvaluationReport, second: EvaluationReport, resamples: int, seed: int
) -> Sequence[PairedDifference]:
    """Return the differences of mAP, mINP and CMC."""
    return paired_differences(first.whole, second.whole, resamples, seed)


def value(report: EvaluationReport) -> float:
    """Return the mAP."""
    return report.map


def interval(report: EvaluationReport) -> str:
    """Return the interval of the mAP."""
    intervals = report.rows[0].intervals
    return "" if intervals is None else str(intervals.map)


def count(report: EvaluationReport) -> str:
    """Return the number of queries in words."""
    return f"{report.whole.queries} queries"


def returns(metadata: BundleMetadata) -> str:
    """Return the size of an embedding in words."""
    return f"{metadata.dim} numbers"


def picture(entry: Mapping[str, Any], png: bytes) -> StripPicture:
    """Return a ranked retrieval."""
    return StripPicture(
        png=png,
        query=entry["query"]["name"],
        average_precision=entry["average_precision"],
        first_match=entry["first_match"],
        right=sum(found["right"] for found in entry["retrieved"]),
        shown=len(entry["retrieved"]),
    )


def chosen(entries: Sequence[Mapping[str, Any]], most: int) -> Sequence[Mapping[str, Any]]:
    """Return all entries: the queries were chosen when they were drawn."""
    return entries
