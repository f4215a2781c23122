"""Labeled images of a benchmark for a model of attributes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....common.foreign_text import escaped, shown_text
from ....errors import InputError
from ...bundle.labels import Labels
from ...bundle.metadata import BundleMetadata
from ...data.readers.listing import shown
from ...data.sample import UNKNOWN, Benchmark, Sample
from .attribute_metrics import AttributeReport, evaluate_attributes


class LabeledImages(NamedTuple):
    """The test part of a benchmark: its samples, and their labels in the order of a model's, int64 (N, labels)."""

    benchmark: Benchmark
    samples: list[Sample]
    truth: np.ndarray
    labels: Labels

    def report(self, outputs: np.ndarray) -> AttributeReport:
        """Evaluate the logits of `samples` (N, labels)."""
        return evaluate_attributes(self.truth, self.labels.assign(outputs))


def labeled_images(benchmark: Benchmark, metadata: BundleMetadata) -> LabeledImages:
    """Select the query samples of a benchmark, with the labels that a model gives.

    Raises:
        InputError: no samples, a model whose labels have no names, or a benchmark without one of its labels.
    """
    labels, samples = metadata.labels, list(benchmark.query)
    if labels is None:
        raise InputError(
            f"The model {shown_text(metadata.name, 60)} does not name its labels, so its logits cannot be compared "
            "with labeled images. Leave out --data and --dataset."
        )
    missing = [name for name in labels.names if not any(name in sample.labels for sample in samples)]
    if missing:
        raise InputError(
            f"{escaped(benchmark.name)} labels none of its {len(samples)} test samples with "
            f"{shown(missing)}. Give a benchmark with the labels of "
            f"{shown_text(metadata.name, 60)}, or leave out --data and --dataset."
        )
    truth = [[sample.labels.get(name, UNKNOWN) for name in labels.names] for sample in samples]
    return LabeledImages(benchmark, samples, np.array(truth, np.int64), labels)
