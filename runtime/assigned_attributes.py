"""Probabilities of attributes, and the decision which of them a sample has."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..common.foreign_text import shown_text
from ..errors import ArtifactError, InputError
from .bundle.field_checks import one_of
from .bundle.labels import SIGMOID, SOFTMAX, Labels, largest, logit_limits

#: Threshold of a sigmoid where the bundle has none.
_MIDDLE = 0.5
#: Treatment of labels that exclude each other.
INDEPENDENT, BEST = "independent", "best"
#: Override of thresholds: one for all labels, or by label.
Thresholds = float | Mapping[str, float]


@dataclass(frozen=True)
class AttributeRule:
    """Decision which attributes a sample has: probability > threshold, compared as logits as in an evaluation.

    Attributes:
        labels: names, in the order of the model.
        thresholds: one for each label; None = the most probable label of all is assigned (softmax).
        exclusive: groups of labels of which at most the most probable one is assigned, as numbers.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    exclusive: tuple[tuple[int, ...], ...] = ()

    def assign(self, logits: np.ndarray) -> npt.NDArray[np.bool_]:
        """Decide for each sample as `Labels.assign`, and by the exclusive groups.

        Args:
            logits: (N, labels), finite.

        Returns:
            bool (N, labels).
        """
        if self.thresholds is None:
            return largest(logits)
        values = np.asarray(logits, dtype=np.float64)
        assigned: npt.NDArray[np.bool_] = values > logit_limits(self.thresholds)
        for group in map(list, self.exclusive):
            assigned[:, group] &= largest(np.where(assigned[:, group], values[:, group], -np.inf))
        return assigned


def attribute_rule(labels: Labels, thresholds: Thresholds | None = None, exclusive: str = INDEPENDENT) -> AttributeRule:
    """Return the rule of a bundle's labels.

    Args:
        labels: of the bundle.
        thresholds: replaces those of the bundle, for all labels or for some.
        exclusive: "independent" decides each label by its threshold alone, as the metrics do; "best" assigns at most
            one label of each group that excludes each other, the most probable one above its threshold.

    Raises:
        InputError: an unknown label, a threshold outside 0 to 1, or one for labels that are decided together.
        ArtifactError: the labels have no probabilities.
    """
    one_of("exclusive", exclusive, (INDEPENDENT, BEST))
    numbers = {name: number for number, name in enumerate(labels.names)}
    groups = labels.exclusive if exclusive == BEST else ()
    if labels.activation == SOFTMAX:
        if thresholds is not None:
            raise InputError("The labels of the model are decided together (softmax): they have no thresholds.")
        return AttributeRule(labels.names, None)
    if labels.activation != SIGMOID:
        raise ArtifactError(f"The labels have no probabilities: their activation is {labels.activation!r}.")
    values = list(labels.thresholds or (_MIDDLE,) * len(labels.names))
    changes = thresholds if isinstance(thresholds, Mapping) else dict.fromkeys(labels.names, thresholds)
    for name, value in changes.items():
        if value is not None:
            values[number_of(name, numbers)] = _threshold(name, value)
    return AttributeRule(labels.names, tuple(values), tuple(tuple(map(numbers.__getitem__, each)) for each in groups))


def number_of(name: str, numbers: Mapping[str, int]) -> int:
    """Return the number of a label.

    Raises:
        InputError: there is no such label; names the nearest ones.
    """
    if name not in numbers:
        raise InputError(f"There is no label {shown_text(name)!r}. {nearest_names(name, tuple(numbers))}")
    return numbers[name]


def nearest_names(name: str, names: tuple[str, ...]) -> str:
    """Return a sentence with the names that are spelled like `name`; the nearest one, where none is."""
    return f"The nearest of {len(names)}: {', '.join(shown_text(each, 80) for each in spelled_like(name, names))}."


def spelled_like(name: str, names: tuple[str, ...]) -> list[str]:
    """Return at most three names that are spelled like `name` or hold it; the nearest one, where none does."""
    folded = {each.casefold(): each for each in names}
    text = name.casefold()[:200]
    near = [*difflib.get_close_matches(text, folded, n=3), *(each for each in folded if text in each)]
    near = near or difflib.get_close_matches(text, folded, n=1, cutoff=0.0)
    return [folded[each] for each in list(dict.fromkeys(near))[:3]]


def _threshold(name: str, value: object) -> float:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        label = shown_text(name)
        raise InputError(f"The threshold of {label!r} must be a number from 0 to 1, not {shown_text(value)}.")
    return float(value)


@dataclass(frozen=True, eq=False)
class Attributes:
    """Attributes of N samples.

    Attributes:
        probabilities: float32 (N, A); NaN where a sample has no RGB image.
        rule: decision which of them a sample has.
        present: bool (N,); False = no RGB image, so nothing is known.
        assigned: decision by the rule, bool (N, A); False for samples that are not `present`.
    """

    probabilities: np.ndarray
    rule: AttributeRule
    present: npt.NDArray[np.bool_]
    assigned: npt.NDArray[np.bool_]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return self.rule.labels

    @property
    def thresholds(self) -> np.ndarray:
        """Threshold of each attribute, above which it is assigned. Returns float64 (A,), NaN where there is none."""
        return np.array(self.rule.thresholds or (math.nan,) * len(self.labels))

    def names(self, sample: int) -> tuple[str, ...]:
        """Return the assigned attributes of a sample; none where it is not `present`."""
        return tuple(self.labels[number] for number in np.flatnonzero(self.assigned[sample]))

    def by_label(self, sample: int) -> dict[str, float] | None:
        """Return the probabilities of a sample by label, None where it is not `present`."""
        if not self.present[sample]:
            return None
        return dict(zip(self.labels, map(float, self.probabilities[sample]), strict=True))

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, rows: slice | np.ndarray) -> Attributes:
        """Return some of the samples, by a slice or their numbers."""
        return Attributes(self.probabilities[rows], self.rule, self.present[rows], self.assigned[rows])
