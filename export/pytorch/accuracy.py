"""Accuracy gate of an exported file: its loss against PyTorch itself, on labeled images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ...common.progress import Track
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.data.modalities import SUBSETS
from ...runtime.data.preprocess import Preprocessing
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.evaluation.gates.accuracy import accuracy_of, require_accuracy, session_model
from ...runtime.evaluation.gates.task_metrics import metric_of
from ...runtime.evaluation.reference_features import Model, features_of
from ...runtime.extractor import open_session
from ...runtime.run_options import RunOptions
from ...train.engine.feature_function import torch_feature_function
from ...train.models.model_spec import Model as TorchModel


def export_accuracy(
    model: TorchModel, bundle: Path, dataset: str, data: str, limit: float, track: Track
) -> AccuracyGate:
    """Evaluate the trained model and the bundle's file on a benchmark's test part.

    Args:
        model: in PyTorch.
        bundle: a complete one, exported from it.
        dataset, data: the benchmark and its root folder.
        limit: largest drop of the task's metric, a fraction.
        track: shows progress.

    Raises:
        InputError: images that cannot be read, or no query with a match.
        AccuracyError: the file loses more.
    """
    benchmark = read_benchmark(dataset, data, test_only=True)
    with open_session(bundle, RunOptions(device="cpu")) as session:
        metric = metric_of(session.metadata)
        test = metric.test_set(benchmark, session.metadata)
        pytorch = pytorch_model(model, session.preprocessing, session.metadata.fingerprint)
        features = features_of((pytorch, session_model(session)), test, track)
    reference, found = (test.report(one[SUBSETS[0]]) for one in features)
    gate = accuracy_of(reference, found, benchmark, limit, metric)
    require_accuracy(gate, "The exported model")
    return gate


def pytorch_model(model: TorchModel, preprocessing: Preprocessing, space: str) -> Model:
    """Return a trained model to evaluate; its features are a reference, and cached.

    Args:
        model: in PyTorch, on the CPU.
        preprocessing: of its images.
        space: its fingerprint, which names the weights and the switches.
    """
    identity = {"model": "PyTorch", "space": space, **asdict(preprocessing)}
    return Model("PyTorch", torch_feature_function(model), preprocessing, identity=identity)
