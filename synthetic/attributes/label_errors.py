"""Errors of annotators in true labels: false and missing labels, and those that are not judged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...runtime.data.attributes.label_rows import NOT_JUDGED

Labels = npt.NDArray[np.uint8]


def exchange_labels(rng: np.random.Generator, labels: Labels, rows: npt.NDArray[np.int64], share: float) -> None:
    """Exchange, in place, a share of each attribute's rarer label with as many of the other one.

    The numbers of positives stay as they are, so that rare attributes stay rare.
    """
    for column in range(labels.shape[1]):
        for chosen, value in _both(rng, labels[rows, column], share):
            labels[rows[chosen], column] = 1 - value


def forget_labels(rng: np.random.Generator, labels: Labels, share: float) -> None:
    """Set, in place, a share of each attribute's rarer label and as many of the other one to "not judged"."""
    for column in range(labels.shape[1]):
        for chosen, _ in _both(rng, labels[:, column], share):
            labels[chosen, column] = NOT_JUDGED


def _both(
    rng: np.random.Generator, labels: npt.NDArray[np.uint8], share: float
) -> list[tuple[npt.NDArray[np.int64], int]]:
    """Choose equally many rows of 0 and of 1."""
    sides = [np.flatnonzero(labels == value) for value in (0, 1)]
    count = round(share * min(len(side) for side in sides))
    return [(rng.choice(side, count, replace=False), value) for value, side in enumerate(sides)]
