"""Complete evaluation of a model: intervals, re-ranking, sets of sensors, thirds of the feature, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....common.progress import Track, silent
from ....errors import InputError
from ...data.decoding import UnusableImageError
from ...data.modalities import MODALITIES, SUBSETS, subset_name
from ...data.preprocess import Preprocessing
from ...data.sample import Benchmark, Sample
from ..bootstrap import DEFAULT_RESAMPLES, bootstrap_intervals
from ..reference_features import Model, features_of
from .evaluate import FeatureFunction, Retrieval, retrieval_of, without
from .metrics import RetrievalReport, evaluate_distances, squared_distances
from .report import PART, RERANKED, SUBSET, WHOLE, EvaluationReport, EvaluationRow
from .reranking import Reranking, reranked_distances
from .strip_folder import check_strips_folder, write_strips
from .strips import chosen_queries, ranked_strips


@dataclass(frozen=True)
class EvaluationOptions:
    """Optional analyses in addition to mAP, CMC and mINP of the whole feature.

    Attributes:
        bootstrap: resamples of the queries for the confidence intervals; 0 = no intervals.
        seed: of the resamples.
        reranking: also rank with k-reciprocal re-ranking.
        subsets: also evaluate the six incomplete sets of sensors; a missing one is missing from all images.
        per_modality: also rank with each third (rgb, nir, tir) of the feature alone.
        strips: folder to write pictures of ranked retrievals to.
        strips_count: number of queries to draw.
        overwrite: replace `strips`, if it holds strips.
        skip_bad: skip samples with an unusable image; the report names them.

    Raises:
        InputError: an invalid number.
    """

    bootstrap: int = DEFAULT_RESAMPLES
    seed: int = 0
    reranking: Reranking | None = None
    subsets: bool = False
    per_modality: bool = False
    strips: Path | None = None
    strips_count: int = 10
    overwrite: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.bootstrap < 0 or self.seed < 0 or self.strips_count < 1:
            raise InputError(
                "An evaluation needs bootstrap >= 0, seed >= 0 and strips_count >= 1, not "
                f"{self.bootstrap}, {self.seed} and {self.strips_count}."
            )


def evaluate_model(
    benchmark: Benchmark,
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    options: EvaluationOptions | None = None,
    *,
    model: str = "",
    batch_size: int = 32,
    track: Track = silent,
    identity: Mapping[str, Any] | None = None,
) -> EvaluationReport:
    """Run all analyses of `options`; each image is decoded once and run once for each set of sensors.

    `model` is its name in the report. With `identity`, everything besides the images that its features depend on,
    features are cached in the user's cache.

    Raises:
        InputError: as `evaluate_benchmark`; a model that does not take missing sensors; features that cannot be
            divided by three; a strips folder that may not be written.
        SetupError: no room or no permission for the strips.
        ArtifactError: features that are not finite.
    """
    options = options or EvaluationOptions()
    if options.strips is not None:
        check_strips_folder(options.strips, options.overwrite)
    retrieval = retrieval_of(benchmark)
    subsets = SUBSETS if options.subsets else SUBSETS[:1]
    bad: dict[Sample, InputError] | None = {} if options.skip_bad else None
    one = Model(model or "the model", extract, preprocessing, batch_size, identity)
    try:
        (features,) = features_of([one], retrieval, track, subsets=subsets, bad=bad)
    except UnusableImageError as error:
        raise InputError(f"{error} --skip-bad leaves such samples out and names them.") from error
    if bad:
        benchmark = without(benchmark, bad)
        retrieval = retrieval_of(benchmark)
    whole = features[SUBSETS[0]]
    rankings = [(WHOLE, SUBSETS[0], retrieval.report(whole))]
    distances = None
    if options.reranking is not None:
        distances = reranked_distances(*retrieval.split(whole), options.reranking, track)
        rankings.append((RERANKED, SUBSETS[0], evaluate_distances(distances, *retrieval.labels)))
    rankings += [(SUBSET, subset, retrieval.report(features[subset])) for subset in subsets[1:]]
    if options.per_modality:
        rankings += [(PART, (name,), retrieval.report(part)) for name, part in feature_parts(whole).items()]
    strips: tuple[Path, ...] = ()
    if options.strips is not None:
        shown_report = rankings[0 if distances is None else 1][2]
        strips = _strips(retrieval, whole, distances, shown_report, preprocessing, options, track)
    return EvaluationReport(
        dataset=benchmark.name,
        model=model,
        junk=benchmark.junk,
        gallery=len(benchmark.gallery),
        rows=tuple(_row(kind, subset, report, options) for kind, subset, report in rankings),
        strips=tuple(str(path) for path in strips),
        samples=len(retrieval.samples),
        left_out=tuple((sample.name, str(error)) for sample, error in (bad or {}).items()),
    )


def feature_parts(features: np.ndarray) -> dict[str, np.ndarray]:
    """Split fused features (N, dim) into thirds by modality.

    In a model with Mamba Aggregation a third depends on the sensors before it: only SUBSETS isolate a sensor.

    Returns:
        (N, dim / 3) each.

    Raises:
        InputError: a dim that is no multiple of three.
    """
    width, rest = divmod(features.shape[1], len(MODALITIES))
    if rest:
        raise InputError(
            f"Features of {features.shape[1]} values have no equal parts for {', '.join(MODALITIES)}, so they cannot "
            "be evaluated per modality."
        )
    return {name: features[:, i * width : (i + 1) * width] for i, name in enumerate(MODALITIES)}


def _row(kind: str, subset: tuple[str, ...], report: RetrievalReport, options: EvaluationOptions) -> EvaluationRow:
    intervals = bootstrap_intervals(report, options.bootstrap, options.seed) if options.bootstrap else None
    return EvaluationRow(kind, subset_name(subset), report, intervals)


def _strips(
    retrieval: Retrieval,
    features: np.ndarray,
    distances: np.ndarray | None,
    report: RetrievalReport,
    preprocessing: Preprocessing,
    options: EvaluationOptions,
    track: Track,
) -> tuple[Path, ...]:
    """Draw the chosen queries, ranked by `distances`, or by the features if it is None."""
    assert options.strips is not None
    chosen = chosen_queries(report.per_query_ap, options.strips_count)
    rows = [report.query_rows[position] for position in chosen]
    query, gallery = retrieval.split(features)
    apart = squared_distances(query[rows], gallery)
    strips = ranked_strips(
        retrieval.benchmark, report, chosen, apart if distances is None else distances[rows], 1 - apart / 2
    )
    size = preprocessing.height, preprocessing.width
    title = retrieval.benchmark.name if distances is None else f"{retrieval.benchmark.name}, {RERANKED}"
    return write_strips(options.strips, strips, title, size, options.overwrite, track, preprocessing)
