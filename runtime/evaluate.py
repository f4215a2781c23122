"""Retrieval accuracy of anything that turns images into embeddings: a bundle, or a PyTorch model from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ArtifactError, InputError
from .data.folders import shown
from .data.sample import Benchmark, Sample
from .extractor import Extractor
from .metrics import RetrievalReport, evaluate_retrieval
from .preprocess import Preprocessing, image_array
from .progress import Track, silent

#: Three lists (rgb, nir, tir) of uint8 (H, W, 3) images of the model's size and int64 (N,) cameras -> (N, dim).
FeatureFunction = Callable[[list[np.ndarray], list[np.ndarray], list[np.ndarray], np.ndarray], np.ndarray]


def feature_function(extractor: Extractor, strict_cameras: bool = False) -> FeatureFunction:
    """The FeatureFunction of a bundle; its embeddings are raw, since retrieval normalises."""

    def extract(rgb: list[np.ndarray], nir: list[np.ndarray], tir: list[np.ndarray], cameras: np.ndarray) -> np.ndarray:
        return extractor(rgb, nir, tir, cameras, normalize=False, strict_cameras=strict_cameras)

    return extract


def extract_features(
    samples: Sequence[Sample],
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    batch_size: int = 32,
    track: Track = silent,
) -> np.ndarray:
    """Features of all samples in order, float32 (N, dim); images are decoded batch by batch.

    Raises:
        InputError: no samples, an unreadable image, or a batch size below 1.
        ArtifactError: features that are not finite or not one per sample; names samples.
    """
    if not samples:
        raise InputError("There are no samples to extract features from.")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}.")
    starts = range(0, len(samples), batch_size)
    features = []
    for start in track(starts, "Extracting features", len(starts)):
        batch = samples[start : start + batch_size]
        rgb, nir, tir = ([image_array(sample.sources[i], preprocessing) for sample in batch] for i in range(3))
        found = np.asarray(extract(rgb, nir, tir, np.array([sample.camera for sample in batch], np.int64)))
        if found.ndim != 2 or len(found) != len(batch):
            raise ArtifactError(f"The model returned features of shape {found.shape} for {len(batch)} samples.")
        bad = [sample.name for sample, row in zip(batch, found, strict=True) if not np.isfinite(row).all()]
        if bad:
            raise ArtifactError(f"The model returned NaN or infinity for {shown(bad)}.")
        features.append(found.astype(np.float32, copy=False))
    return np.concatenate(features)


def evaluate_benchmark(
    benchmark: Benchmark,
    extract: FeatureFunction,
    preprocessing: Preprocessing,
    batch_size: int = 32,
    track: Track = silent,
) -> RetrievalReport:
    """mAP, CMC and mINP of the benchmark's query and gallery, by its own junk rule.

    A sample that is both query and gallery (all of RGBNT201's are) goes through the model once.

    Raises:
        InputError: an empty query or gallery, an unreadable image, no query with a valid match.
        ArtifactError: features that are not finite.
    """
    if benchmark.junk not in ("camera", "scene"):
        raise InputError(f"The junk rule of {benchmark.name} must be camera or scene, not {benchmark.junk!r}.")
    if not benchmark.query or not benchmark.gallery:
        raise InputError(
            f"{benchmark.name} has {len(benchmark.query)} queries and {len(benchmark.gallery)} gallery samples; "
            "an evaluation needs both."
        )
    rows = {sample: row for row, sample in enumerate(dict.fromkeys((*benchmark.query, *benchmark.gallery)))}
    features = extract_features(list(rows), extract, preprocessing, batch_size, track)
    query, gallery = ([rows[sample] for sample in part] for part in (benchmark.query, benchmark.gallery))
    return evaluate_retrieval(
        features[query],
        features[gallery],
        [sample.identity for sample in benchmark.query],
        [sample.identity for sample in benchmark.gallery],
        [getattr(sample, benchmark.junk) for sample in benchmark.query],
        [getattr(sample, benchmark.junk) for sample in benchmark.gallery],
    )
