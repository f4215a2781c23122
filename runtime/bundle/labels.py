"""Labels of a logits output, and the decision which of them a sample has."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.records import STORED_IF_SET, encode, record_of
from ...errors import InputError
from .field_checks import one_of

SIGMOID, SOFTMAX = "sigmoid", "softmax"
ACTIVATIONS = (SIGMOID, SOFTMAX, "none")
#: Threshold of attributes in the released evaluation (https://arxiv.org/abs/2407.10374).
ATTRIBUTE_THRESHOLD = 0.45
#: Most labels of one output, longest name, and longest phrase.
_MOST, _LONGEST, _LONGEST_PHRASE = 2**20, 200, 1000


@dataclass(frozen=True)
class Labels:
    """Labels of a logits output, in its order.

    Attributes:
        names: of the labels.
        activation: "sigmoid" decides each label alone, "softmax" takes the largest of all, "none" compares the logits
            themselves.
        thresholds: one for each label, above which it is assigned; empty = 0.5 after a sigmoid, 0 for logits.
        words: the phrase of each label, which a model with text reads; empty = not known.
        exclusive: groups of labels of which a sample has one at most.
    """

    names: tuple[str, ...]
    activation: str = SIGMOID
    thresholds: tuple[float, ...] = ()
    words: tuple[str, ...] = field(default=(), metadata=STORED_IF_SET)
    exclusive: tuple[tuple[str, ...], ...] = field(default=(), metadata=STORED_IF_SET)

    def __post_init__(self) -> None:
        one_of("activation", self.activation, ACTIVATIONS)
        if not 0 < len(self.names) <= _MOST or len(set(self.names)) < len(self.names):
            raise InputError(f"names must be 1 to {_MOST:,} labels, none of them twice.")
        if any(not name or len(name) > _LONGEST for name in self.names):
            raise InputError(f"names must have 1 to {_LONGEST} letters each.")
        self._check_thresholds()
        if self.words and len(self.words) != len(self.names):
            raise InputError(f"words must be one for each of {len(self.names)} labels, not {len(self.words)}.")
        if any(not word or len(word) > _LONGEST_PHRASE for word in self.words):
            raise InputError(f"words must have 1 to {_LONGEST_PHRASE} letters each.")
        self._check_exclusive()

    def _check_thresholds(self) -> None:
        if self.thresholds and (self.activation == SOFTMAX or len(self.thresholds) != len(self.names)):
            raise InputError(
                f"thresholds must be one for each of {len(self.names)} labels, not {len(self.thresholds)}, and none "
                f"with {SOFTMAX}."
            )
        if not all(map(math.isfinite, self.thresholds)):
            raise InputError(f"thresholds must be finite numbers, not {list(self.thresholds)}.")
        if self.activation == SIGMOID and not all(0 < value < 1 for value in self.thresholds):
            raise InputError(f"thresholds must be between 0 and 1 after a {SIGMOID}, not {list(self.thresholds)}.")

    def _check_exclusive(self) -> None:
        if any(not 1 < len(set(group)) == len(group) for group in self.exclusive):
            raise InputError("exclusive must be groups of two or more different labels.")
        if not {name for group in self.exclusive for name in group} <= set(self.names):
            raise InputError("exclusive must be groups of the labels in names.")

    @classmethod
    def of_attributes(
        cls, names: Sequence[str], words: Sequence[str] = (), exclusive: Sequence[Sequence[str]] = ()
    ) -> Labels:
        """Return labels of attributes with the released threshold."""
        groups = tuple(tuple(group) for group in exclusive)
        return cls(tuple(names), SIGMOID, (ATTRIBUTE_THRESHOLD,) * len(names), tuple(words), groups)

    @property
    def sha256(self) -> str:
        """Hash of names and words in their order, which the text of a model belongs to; hexadecimal."""
        content = json.dumps([self.names, self.words], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict for `from_json`."""
        values: dict[str, Any] = encode(self)
        return values

    @classmethod
    def from_json(cls, value: object, where: str = "The labels") -> Labels:
        """Build labels from the result of `to_json`; `where` names them in messages.

        Raises:
            ArtifactError: of another form.
        """
        return record_of(cls, value, f"{where} cannot be read:")

    def assign(self, logits: np.ndarray) -> npt.NDArray[np.bool_]:
        """Decide which labels each sample has.

        Args:
            logits: (N, labels).

        Returns:
            bool (N, labels); of logits that are not finite False.
        """
        if self.activation == SOFTMAX:
            return largest(logits)
        return np.asarray(logits, dtype=np.float64) > self.limits

    @property
    def limits(self) -> npt.NDArray[np.float64]:
        """Logits above which labels are assigned, float64 (labels,), where each is decided alone."""
        if self.thresholds and self.activation == SIGMOID:
            return logit_limits(self.thresholds)
        return np.array(self.thresholds or (0.0,) * len(self.names))

    def probabilities(self, logits: np.ndarray) -> npt.NDArray[np.float64] | None:
        """Return the probabilities of logits (N, labels), float64 of the same shape; None where there are none."""
        values = np.asarray(logits, dtype=np.float64)
        if self.activation == SIGMOID:
            # tanh does not overflow
            return 0.5 * (1 + np.tanh(0.5 * values))
        if self.activation == SOFTMAX:
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        return None


def largest(values: np.ndarray) -> npt.NDArray[np.bool_]:
    """Mark the first largest value of each row. Returns bool, of the shape of `values` (N, labels)."""
    return np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]


def logit_limits(thresholds: Sequence[float]) -> npt.NDArray[np.float64]:
    """Convert thresholds of a sigmoid to the logits with these values, which are exact where the sigmoid rounds.

    Args:
        thresholds: from 0 to 1.

    Returns:
        float64, of the same length; infinite at 0 and 1.
    """
    ends = {0.0: -math.inf, 1.0: math.inf}
    return np.array([ends[value] if value in ends else math.log(value / (1 - value)) for value in thresholds])
