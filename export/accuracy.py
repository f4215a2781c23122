"""The gate on an exported file's retrieval: what it loses in mAP against PyTorch itself, on labelled images."""

from __future__ import annotations

import logging
from pathlib import Path

from ..runtime.accuracy import accuracy_of, require_accuracy
from ..runtime.data.benchmarks import read_benchmark
from ..runtime.evaluate import evaluate_benchmark, feature_function
from ..runtime.extractor import Extractor
from ..runtime.progress import Track
from ..runtime.sidecar import AccuracyGate
from ..train.evaluate import torch_feature_function
from ..train.models.mambapro import MambaPro

log = logging.getLogger("mambapro")


def export_accuracy(model: MambaPro, bundle: Path, dataset: str, data: str, limit: float, track: Track) -> AccuracyGate:
    """Evaluate the trained model and the bundle's file on a benchmark's test part.

    Args:
        model: in PyTorch.
        bundle: a complete one, exported from it.
        dataset, data: the benchmark and its root folder.
        limit: largest drop of mAP, a fraction.
        track: shows progress.

    Raises:
        InputError: images that cannot be read, or no query with a match.
        AccuracyError: the file loses more.
    """
    benchmark = read_benchmark(dataset, data, test_only=True)
    log.info("mAP of PyTorch and of the file, on the test part of %s", dataset)
    with Extractor(bundle, "cpu") as extractor:
        pre = extractor.preprocessing
        reference = evaluate_benchmark(benchmark, torch_feature_function(model), pre, track=track)
        found = evaluate_benchmark(benchmark, feature_function(extractor), pre, extractor.batch_size, track)
    gate = accuracy_of(reference, found, benchmark, limit)
    require_accuracy(gate, "The exported model")
    return gate
