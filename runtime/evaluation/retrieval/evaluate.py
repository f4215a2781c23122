"""Retrieval accuracy of any function from images to embeddings: a bundle, or a PyTorch model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ....common.foreign_text import escaped, shown_text
from ....common.progress import Track, silent
from ....errors import ArtifactError, InputError
from ...data.batch import Batch
from ...data.decoding import UnusableImageError, decode
from ...data.inputs import camera_numbers
from ...data.modalities import MODALITIES, SUBSETS
from ...data.preprocess import Preprocessing
from ...data.range_watch import RangeWatch
from ...data.readers.benchmarks import benchmarks_of
from ...data.readers.listing import shown
from ...data.sample import Benchmark, Sample
from ...data.task_names import RE_IDENTIFICATION
from ...extractor import Extractor, require_modalities
from .metrics import RetrievalReport, evaluate_retrieval

#: Function from a batch of N samples to their features (N, dim).
FeatureFunction = Callable[[Batch], np.ndarray]


def feature_function(extractor: Extractor, strict_cameras: bool = False) -> FeatureFunction:
    """Return the feature function of a bundle; embeddings are raw, since retrieval normalizes them."""
    known, modalities = extractor.metadata.cameras, extractor.metadata.modalities

    def extract(batch: Batch) -> np.ndarray:
        """Compute the features of a batch."""
        require_modalities(batch.present, modalities)
        camera_numbers(batch.cameras, len(batch), known, strict_cameras)
        return extractor.features(batch)

    return extract


def extract_features(
    samples: Sequence[Sample],
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    batch_size: int = 32,
    track: Track = silent,
) -> np.ndarray:
    """Compute features of all samples in order, decoding images batch by batch.

    Returns:
        float32 (N, dim).

    Raises:
        InputError: no samples, an unreadable image, or a batch size below 1.
        ArtifactError: features that are not finite or not one per sample; the message names samples.
    """
    features = []
    for group, batch in _decoded(samples, preprocessing, batch_size, track):
        features.append(_checked(extract(batch), group))
    return np.concatenate(features)


def extract_subsets(
    samples: Sequence[Sample],
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    subsets: Sequence[tuple[str, ...]] = SUBSETS,
    batch_size: int = 32,
    track: Track = silent,
    bad: dict[Sample, InputError] | None = None,
) -> dict[tuple[str, ...], np.ndarray]:
    """Compute features as `extract_features` for each set of present sensors; images are decoded once.

    `bad` receives the samples with an unusable image, which are errors if it is None; they have no row.

    Returns:
        float32 (N, dim) by set of sensors.
    """
    features: dict[tuple[str, ...], list[np.ndarray]] = {subset: [] for subset in subsets}
    for group, batch in _decoded(samples, preprocessing, batch_size, track, bad):
        for subset, parts in features.items():
            parts.append(_checked(extract(batch.only(subset)), group))
    if bad is not None and len(bad) == len(set(samples)):
        raise InputError(f"None of the {len(bad)} samples can be read. The first: {next(iter(bad.values()))}")
    return {subset: np.concatenate(parts) for subset, parts in features.items()}


def evaluate_benchmark(
    benchmark: Benchmark,
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    batch_size: int = 32,
    track: Track = silent,
) -> RetrievalReport:
    """Compute mAP, CMC and mINP of the benchmark's query and gallery, by its own junk rule.

    A sample that is both query and gallery (all of RGBNT201's) is run once.

    Raises:
        InputError: an empty query or gallery, an unreadable image, no query with a valid match.
        ArtifactError: features that are not finite.
    """
    retrieval = retrieval_of(benchmark)
    return retrieval.report(extract_features(retrieval.samples, extract, preprocessing, batch_size, track))


class Retrieval(NamedTuple):
    """Test part of a benchmark: distinct samples, rows of queries and gallery, labels as in `evaluate_retrieval`."""

    benchmark: Benchmark
    samples: list[Sample]
    query: list[int]
    gallery: list[int]
    labels: tuple[list[int], list[int], list[int], list[int]]

    def split(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split features of `samples` (N, dim).

        Returns:
            those of the queries and of the gallery, (queries, dim) and (gallery, dim).
        """
        return features[self.query], features[self.gallery]

    def report(self, features: np.ndarray) -> RetrievalReport:
        """Return the accuracy of features of `samples` (N, dim)."""
        return evaluate_retrieval(*self.split(features), *self.labels)


def retrieval_of(benchmark: Benchmark) -> Retrieval:
    """Return the test part of a benchmark.

    Raises:
        InputError: an empty query or gallery, or an unknown junk rule.
    """
    if benchmark.attributes is not None and not benchmark.gallery:
        raise InputError(
            f"{escaped(benchmark.name)} has images with attributes, not with identities: it has no gallery to search. "
            f"Give one of {', '.join(benchmarks_of(RE_IDENTIFICATION))}, or a model of attributes."
        )
    if benchmark.junk not in ("camera", "scene"):
        raise InputError(f"The junk rule of {escaped(benchmark.name)} must be camera or scene, not {benchmark.junk!r}.")
    if not benchmark.query or not benchmark.gallery:
        raise InputError(
            f"{escaped(benchmark.name)} has {len(benchmark.query)} queries and {len(benchmark.gallery)} "
            "gallery samples; "
            "an evaluation needs both."
        )
    rows = {sample: row for row, sample in enumerate(dict.fromkeys((*benchmark.query, *benchmark.gallery)))}
    parts = benchmark.query, benchmark.gallery
    query, gallery = ([rows[sample] for sample in part] for part in parts)
    query_ids, gallery_ids = ([sample.identity for sample in part] for part in parts)
    query_groups, gallery_groups = ([getattr(sample, benchmark.junk) for sample in part] for part in parts)
    return Retrieval(benchmark, list(rows), query, gallery, (query_ids, gallery_ids, query_groups, gallery_groups))


def without(benchmark: Benchmark, left_out: Collection[Sample]) -> Benchmark:
    """Return a benchmark without some samples in query and gallery."""
    query, gallery = (
        tuple(sample for sample in part if sample not in left_out) for part in (benchmark.query, benchmark.gallery)
    )
    return replace(benchmark, query=query, gallery=gallery)


def _decoded(
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    batch_size: int,
    track: Track,
    bad: dict[Sample, InputError] | None = None,
) -> Iterator[tuple[Sequence[Sample], Batch]]:
    """Yield the samples with usable images, a batch at a time, and their images."""
    if not samples:
        raise InputError("There are no samples to extract features from.")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}.")
    watch = RangeWatch()
    group: list[Sample] = []
    for number, sample in enumerate(track(samples, "Extracting features: images", len(samples)), 1):
        group.append(sample)
        if len(group) < batch_size and number < len(samples):
            continue
        usable, batch = _decode_group(group, preprocessing, watch, bad)
        if usable:
            yield usable, batch
        group = []


def _decode_group(
    group: Sequence[Sample], preprocessing: Preprocessing, watch: RangeWatch, bad: dict[Sample, InputError] | None
) -> tuple[Sequence[Sample], Batch]:
    """Return the samples with usable images, and these images."""
    cameras = np.array([sample.camera for sample in group], np.int64)
    batch, failures = decode([sample.sources for sample in group], cameras, MODALITIES, preprocessing, watch)
    if not failures:
        return group, batch
    # the first sensor's error of each sample
    errors = {failure.sample: failure.error for failure in reversed(failures)}
    problems = {group[row]: errors[row] for row in sorted(errors)}
    if bad is None:
        first, *others = problems.values()
        more = f" {len(others)} more of the same batch cannot be used: " if others else ""
        names = shown([shown_text(sample.name) for sample in list(problems)[1:]])
        raise UnusableImageError(f"{first}{more}{names}") from first
    bad |= problems
    rows = np.array([row for row in range(len(group)) if row not in errors], np.int64)
    return [group[row] for row in rows], batch[rows]


def _checked(features: np.ndarray, batch: Sequence[Sample]) -> np.ndarray:
    found = np.asarray(features)
    if found.ndim != 2 or len(found) != len(batch):
        raise ArtifactError(f"The model returned features of shape {found.shape} for {len(batch)} samples.")
    bad = [sample.name for sample, row in zip(batch, found, strict=True) if not np.isfinite(row).all()]
    if bad:
        raise ArtifactError(f"The model returned NaN or infinity for {shown(bad)}.")
    return found.astype(np.float32, copy=False)
