"""Checks of labels and rows from annotation files, before they become a set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ....errors import InputError
from .label_rows import NOT_JUDGED

log = logging.getLogger("mambapro")


def as_labels(values: npt.NDArray[np.int64], count: int, width: int, where: str) -> npt.NDArray[np.uint8]:
    """Return labels as uint8 (count, width).

    Raises:
        InputError: another shape, or values other than 0, 1 and 2.
    """
    if values.shape != (count, width):
        shape = " x ".join(map(str, values.shape))
        raise InputError(f"{where} is {shape}; {count:,} images with {width} attributes are expected.")
    wrong = (values < 0) | (values > 2)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"{where} has {int(wrong.sum()):,} labels other than 0, 1 and 2 (not judged); the first is "
            f"{int(values[row, column])}, in row {row + 1}, column {column + 1}."
        )
    return values.astype(np.uint8)


def successive(counts: Sequence[int]) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the rows of parts that stand one after the other."""
    ends = np.cumsum((0, *counts)).tolist()
    return tuple(np.arange(start, end, dtype=np.int64) for start, end in pairwise(ends))


def tell_not_judged(labels: npt.NDArray[np.uint8], where: str) -> None:
    """Log how many labels are 2, which take no part in training and evaluation."""
    count = int((labels == NOT_JUDGED).sum())
    if count:
        log.info("%s: %d labels are 2, not judged; they take no part in training and evaluation", where, count)
