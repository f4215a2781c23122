"""Gate on an exported file's retrieval: loss of mAP against PyTorch, on labeled images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ...common.progress import Track
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.data.modalities import SUBSETS
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.evaluation.gates.accuracy import accuracy_of, extractor_model, require_accuracy
from ...runtime.evaluation.reference_features import Model, features_of
from ...runtime.evaluation.retrieval.evaluate import retrieval_of
from ...runtime.extractor import Extractor
from ...train.models.model_spec import Model as TorchModel
from ...train.reid.evaluate import torch_feature_function


def export_accuracy(
    model: TorchModel, bundle: Path, dataset: str, data: str, limit: float, track: Track
) -> AccuracyGate:
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
    retrieval = retrieval_of(benchmark)
    with Extractor(bundle, "cpu") as extractor:
        pytorch = pytorch_model(model, extractor.preprocessing, extractor.fingerprint)
        features = features_of((pytorch, extractor_model(extractor)), retrieval, track)
    reference, found = (retrieval.report(one[SUBSETS[0]]) for one in features)
    gate = accuracy_of(reference, found, benchmark, limit)
    require_accuracy(gate, "The exported model")
    return gate


def pytorch_model(model: TorchModel, preprocessing: Preprocessing, space: str) -> Model:
    """Return a trained model to evaluate; its features are a reference, and cached.

    Args:
        model: in PyTorch, on the CPU.
        preprocessing: of its images.
        space: its feature space, which names the weights and the switches.
    """
    identity = {"model": "PyTorch", "space": space, **asdict(preprocessing)}
    return Model("PyTorch", torch_feature_function(model), preprocessing, identity=identity)
