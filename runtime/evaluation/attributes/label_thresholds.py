"""Thresholds of labels, tuned on labeled samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ....errors import InputError
from ...bundle.labels import SIGMOID, SOFTMAX, Labels

#: Values of one label that a threshold can maximize.
OBJECTIVES = ("F1", "mA")
#: Largest |logit| of a threshold, whose sigmoid is still below 1.
_LARGEST_LOGIT = 30.0

Floats = npt.NDArray[np.float64]


def tune_thresholds(truth: np.ndarray, logits: np.ndarray, labels: Labels, objective: str = "F1") -> Labels:
    """Choose the threshold of each label that maximizes its F1 or mA on these samples.

    The threshold lies in the middle between two neighboring outputs. One that is among the best already stays, as does
    that of a label without a positive or without a negative sample; of equally good ones the nearest is taken. Those
    that a probability cannot express, because the sigmoid of their outputs rounds to one number, are not considered.

    Args:
        truth: whole numbers (N, labels), 1 = the sample has the label, 0 = it has not; others are not judged.
        logits: (N, labels), finite.
        labels: with the thresholds to begin with.
        objective: "F1" or "mA".

    Returns:
        the labels with the new thresholds.

    Raises:
        InputError: another objective, or labels of which the largest is taken.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"Thresholds can maximize {' or '.join(OBJECTIVES)}, not {objective!r}.")
    if labels.activation == SOFTMAX:
        raise InputError("The largest label of this model is taken: there are no thresholds to tune.")
    limits = labels.limits
    thresholds = list(labels.thresholds or _of_limits(limits, labels.activation).tolist())
    for column in range(len(labels.names)):
        judged = (truth[:, column] == 0) | (truth[:, column] == 1)
        positive = truth[judged, column] == 1
        if 0 < positive.sum() < len(positive):
            values = np.asarray(logits[judged, column], dtype=np.float64)
            better = _best_threshold(positive, values, limits[column], objective, labels.activation)
            thresholds[column] = thresholds[column] if better is None else better
    return replace(labels, thresholds=tuple(thresholds))


def _of_limits(limits: Floats, activation: str) -> Floats:
    """Convert limits of logits to thresholds of what the activation returns."""
    if activation != SIGMOID:
        return limits
    return 1 / (1 + np.exp(-np.clip(limits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))


def _best_threshold(
    positive: np.ndarray, values: Floats, limit: float, objective: str, activation: str
) -> float | None:
    """Return the best threshold of one label, None if its limit is among the best.

    `positive` is bool (N,), both kinds occur; `values` float64 (N,).
    """
    order = np.argsort(values, kind="stable")
    values, positive = values[order], positive[order]
    below = np.concatenate([[-np.inf], values])
    above = np.concatenate([values, [np.inf]])
    # limits between below[k] and above[k] assign the label to the last N - k samples
    count, positives = len(values), int(positive.sum())
    hits = positives - np.concatenate([[0], np.cumsum(positive)])
    false = count - np.arange(count + 1) - hits
    if objective == "F1":
        score = 2 * hits / (hits + false + positives)
    else:
        # its whole multiple, which has no rounding
        score = hits * (count - positives) - false * positives
    thresholds, limits = _between(below, above, activation)
    usable = ((below <= limits) & (limits < above)) | ((below <= limit) & (limit < above))
    score = np.where(usable, score, -np.inf)
    (best,) = np.nonzero(score == score.max())
    distance = np.maximum(np.maximum(below[best] - limit, limit - above[best]), 0)
    # a limit equal to `above` assigns that sample no more
    distance[limit == above[best]] = np.finfo(np.float64).tiny
    return None if distance.min() == 0 else float(thresholds[best[distance.argmin()]])


def _between(below: Floats, above: Floats, activation: str) -> tuple[Floats, Floats]:
    """Return thresholds in the middle, beyond the ends one logit away, and the logits that they are."""
    low, high = np.where(np.isinf(below), above - 2, below), np.where(np.isinf(above), below + 2, above)
    thresholds = _of_limits((low + high) / 2, activation)
    return thresholds, np.log(thresholds / (1 - thresholds)) if activation == SIGMOID else thresholds
