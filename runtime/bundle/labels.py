"""Labels of a logits output, and the decision which of them a sample has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from .field_checks import one_of

SIGMOID, SOFTMAX = "sigmoid", "softmax"
ACTIVATIONS = (SIGMOID, SOFTMAX, "none")
#: Most labels of one output, and longest name.
_MOST, _LONGEST = 2**20, 200


@dataclass(frozen=True)
class Labels:
    """Labels of a logits output, in its order.

    Attributes:
        names: of the labels.
        activation: "sigmoid" decides each label alone, "softmax" takes the largest of all, "none" compares the logits
            themselves.
        thresholds: one for each label, above which it is assigned; empty = 0.5 after a sigmoid, 0 for logits.
    """

    names: tuple[str, ...]
    activation: str = SIGMOID
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        one_of("activation", self.activation, ACTIVATIONS)
        if not 0 < len(self.names) <= _MOST or len(set(self.names)) < len(self.names):
            raise InputError(f"names must be 1 to {_MOST:,} labels, none of them twice.")
        if any(not name or len(name) > _LONGEST for name in self.names):
            raise InputError(f"names must have 1 to {_LONGEST} letters each.")
        if self.thresholds and (self.activation == SOFTMAX or len(self.thresholds) != len(self.names)):
            raise InputError(
                f"thresholds must be one for each of {len(self.names)} labels, not {len(self.thresholds)}, and none "
                f"with {SOFTMAX}."
            )
        if not all(map(math.isfinite, self.thresholds)):
            raise InputError(f"thresholds must be finite numbers, not {list(self.thresholds)}.")
        if self.activation == SIGMOID and not all(0 < value < 1 for value in self.thresholds):
            raise InputError(f"thresholds must be between 0 and 1 after a {SIGMOID}, not {list(self.thresholds)}.")

    def assign(self, logits: np.ndarray) -> npt.NDArray[np.bool_]:
        """Decide which labels each sample has.

        Args:
            logits: (N, labels).

        Returns:
            bool (N, labels); of logits that are not finite False.
        """
        if self.activation == SOFTMAX:
            return np.arange(len(self.names)) == logits.argmax(axis=1)[:, None]
        limits = np.array(self.thresholds or (0.0,))
        if self.thresholds and self.activation == SIGMOID:
            # the threshold converted to a logit, which is exact where the sigmoid rounds
            limits = np.array([math.log(value / (1 - value)) for value in self.thresholds])
        return np.asarray(logits, dtype=np.float64) > limits
