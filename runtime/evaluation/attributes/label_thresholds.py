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
    that of a label without a positive or without a negative sample; of equally good ones the nearest is taken.

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
    tuned = limits.copy()
    for column in range(len(labels.names)):
        judged = (truth[:, column] == 0) | (truth[:, column] == 1)
        positive = truth[judged, column] == 1
        if 0 < positive.sum() < len(positive):
            values = np.asarray(logits[judged, column], dtype=np.float64)
            tuned[column] = _best_limit(positive, values, limits[column], objective)
    thresholds = _of_limits(tuned, labels.activation)
    # those that stay keep their digits
    same = labels.thresholds or tuple(_of_limits(limits, labels.activation).tolist())
    pairs = zip(same, thresholds.tolist(), (tuned == limits).tolist(), strict=True)
    return replace(labels, thresholds=tuple(old if kept else new for old, new, kept in pairs))


def _of_limits(limits: Floats, activation: str) -> Floats:
    """Convert limits of logits to thresholds of what the activation returns."""
    if activation != SIGMOID:
        return limits
    return 1 / (1 + np.exp(-np.clip(limits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))


def _best_limit(positive: np.ndarray, values: Floats, limit: float, objective: str) -> float:
    """Return the best limit of one label; `positive` bool (N,), both kinds occur, `values` float64 (N,)."""
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
    score = np.where(below < above, score, -np.inf)
    (best,) = np.nonzero(score == score.max())
    distance = np.maximum(np.maximum(below[best] - limit, limit - above[best]), 0)
    # a limit equal to `above` assigns that sample no more
    distance[limit == above[best]] = np.finfo(np.float64).tiny
    place = best[distance.argmin()]
    if distance.min() == 0:
        return limit
    low, high = below[place], above[place]
    if np.isinf(low):
        return float(high) - 1
    return float(low) + 1 if np.isinf(high) else float(low + high) / 2
