"""Labeled images of a benchmark for a model of attributes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from ....common.foreign_text import escaped, shown_text
from ....errors import InputError
from ...bundle.labels import Labels
from ...bundle.metadata import BundleMetadata
from ...data.readers.listing import shown
from ...data.sample import UNKNOWN, Benchmark, Sample
from .attribute_metrics import AttributeReport, evaluate_attributes

log = logging.getLogger("mambapro")


class LabeledImages(NamedTuple):
    """Part of a benchmark: its samples, and their labels in the order of a model's, int64 (N, labels)."""

    benchmark: Benchmark
    samples: list[Sample]
    truth: np.ndarray
    labels: Labels

    def report(self, outputs: np.ndarray) -> AttributeReport:
        """Evaluate the logits of `samples` (N, labels)."""
        return evaluate_attributes(self.truth, self.labels.assign(outputs))

    def without(self, left_out: Collection[Sample]) -> LabeledImages:
        """Return the part without some samples."""
        rows = [i for i, sample in enumerate(self.samples) if sample not in left_out]
        return self._replace(samples=[self.samples[i] for i in rows], truth=self.truth[rows])


def labeled_images(benchmark: Benchmark, metadata: BundleMetadata) -> LabeledImages:
    """Select the query samples of a benchmark, with the labels that a model gives.

    Raises:
        InputError: no samples, a model whose labels have no names, or a benchmark without one of its labels.
    """
    if metadata.labels is None:
        raise InputError(
            f"The model {shown_text(metadata.name, 60)} does not name its labels, so its logits cannot be compared "
            "with labeled images. Leave out --data and --dataset."
        )
    return labeled_samples(benchmark, benchmark.query, metadata.labels, metadata.name)


def labeled_samples(benchmark: Benchmark, samples: Sequence[Sample], labels: Labels, model: str) -> LabeledImages:
    """Select samples of a benchmark, with the labels of a model, which are matched by name.

    Raises:
        InputError: no samples, or a benchmark without one of the labels.
    """
    if not samples:
        raise InputError(f"{escaped(benchmark.name)} has no labeled samples in this part.")
    _require_labels(labels.names, label_names(benchmark), benchmark, model)
    truth = [[sample.labels.get(name, UNKNOWN) for name in labels.names] for sample in samples]
    return LabeledImages(benchmark, list(samples), np.array(truth, np.int64), labels)


def labels_by_position(benchmark: Benchmark, count: int, model: str) -> Labels:
    """Return the labels of a benchmark in its order, for a model of `count` labels without names, with a warning.

    Raises:
        InputError: another number of labels.
    """
    names = label_names(benchmark)
    if len(names) != count:
        raise InputError(
            f"{shown_text(model, 200)} has {count} labels without names, and {escaped(benchmark.name)} has "
            f"{len(names)}. Give the data set that it was trained on."
        )
    log.warning(
        "%s does not name its %d labels; they are taken in the order of %s, from %s to %s.",
        shown_text(model, 200),
        count,
        escaped(benchmark.name),
        shown_text(names[0], 60),
        shown_text(names[-1], 60),
    )
    return labels_of(benchmark)


def labels_of(benchmark: Benchmark) -> Labels:
    """Return the labels of a benchmark in its order, with the released threshold."""
    attributes = benchmark.attributes
    if attributes is not None:
        return Labels.of_attributes(attributes.names, attributes.words, attributes.exclusive)
    return Labels.of_attributes(label_names(benchmark))


def label_names(benchmark: Benchmark) -> tuple[str, ...]:
    """Return the names of a benchmark's labels in its order; empty where it has none."""
    if benchmark.attributes is not None:
        return benchmark.attributes.names
    return tuple(dict.fromkeys(name for sample in benchmark.query for name in sample.labels))


def _require_labels(wanted: Sequence[str], known: Sequence[str], benchmark: Benchmark, model: str) -> None:
    """Raise InputError if a model's label is not among those of a benchmark."""
    missing = [name for name in wanted if name not in known]
    if not missing:
        return
    differing = ((i, *pair) for i, pair in enumerate(zip_longest(wanted, known), 1) if pair[0] != pair[1])
    place, ours, theirs = next(differing)
    ours, theirs = ("none" if name is None else shown_text(name, 60) for name in (ours, theirs))
    raise InputError(
        f"{escaped(benchmark.name)} labels none of its {len(benchmark.query)} test samples with {shown(missing)}. "
        f"{shown_text(model, 200)} has {len(wanted)} labels, the data set {len(known)}; the first that differs is "
        f"label {place}: {ours} of the model, {theirs} of the data set. Give a data set with the model's labels."
    )
