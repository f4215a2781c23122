"""Conditions on attributes, such as `backpack and not hat`, and their evaluation.

    condition  := all ("or" all)*
    all        := single ("and" single)*
    single     := "not" single | "(" condition ")" | LABEL [("<" | "<=" | ">" | ">=") NUMBER]

A label alone is true where it is assigned; with a comparison, where its probability is. Labels that hold spaces,
parentheses or a keyword are quoted.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...common.foreign_text import shown_text
from ..assigned_attributes import nearest_names, spelled_like
from .tokens import Token, error_at, tokens

#: Most levels of parentheses and nots.
DEEPEST = 100
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_QUOTED = ' Labels with spaces are quoted: "two words".'
_NUMBER = re.compile(r"\d{1,3}(\.\d{0,12})?|\.\d{1,12}")


class Condition(ABC):
    """Condition on the attributes of N samples."""

    @abstractmethod
    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return where it holds.

        Args:
            probabilities: (N, labels).
            assigned: bool (N, labels).

        Returns:
            bool (N,).
        """

    @abstractmethod
    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return how certain it is: of `and` the least, of `or` the most, of `not` the opposite. Returns (N,)."""


@dataclass(frozen=True)
class Has(Condition):
    """A label is assigned."""

    label: int

    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return where the label is assigned."""
        return assigned[:, self.label].copy()

    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return its probability."""
        return probabilities[:, self.label]


@dataclass(frozen=True)
class Compared(Condition):
    """The probability of a label is above or below a number."""

    label: int
    sign: str
    number: float

    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Compare the probabilities with the number."""
        found: npt.NDArray[np.bool_] = _COMPARISONS[self.sign](probabilities[:, self.label], np.float32(self.number))
        return found

    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probability, or its opposite where it has to be small."""
        values = probabilities[:, self.label]
        return values if self.sign.startswith(">") else 1 - values


@dataclass(frozen=True)
class Not(Condition):
    """The opposite of a condition."""

    part: Condition

    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return where the condition does not hold."""
        return ~self.part.matches(probabilities, assigned)

    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the opposite."""
        return 1 - self.part.certainty(probabilities)


@dataclass(frozen=True)
class Every(Condition):
    """All conditions hold."""

    parts: tuple[Condition, ...]

    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return where all hold."""
        return np.logical_and.reduce([part.matches(probabilities, assigned) for part in self.parts])

    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the least."""
        return np.minimum.reduce([part.certainty(probabilities) for part in self.parts])


@dataclass(frozen=True)
class Some(Condition):
    """One condition at least holds."""

    parts: tuple[Condition, ...]

    def matches(self, probabilities: np.ndarray, assigned: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return where one holds."""
        return np.logical_or.reduce([part.matches(probabilities, assigned) for part in self.parts])

    def certainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the most."""
        return np.maximum.reduce([part.certainty(probabilities) for part in self.parts])


def parse_condition(text: str, labels: Sequence[str]) -> Condition:
    """Parse a condition on labels.

    Args:
        text: see the module.
        labels: names in the order of the columns; upper and lower case may differ where that is unambiguous.

    Raises:
        InputError: no condition, an unknown label (the nearest are named), nested too deep, or too long; with the
            position.
    """
    parser = _Parser(text, labels)
    condition = parser.condition(0)
    if parser.next.kind != "end":
        raise parser.unexpected("and, or, or the end")
    return condition


class _Parser:
    """Recursive descent; `next` is the token ahead."""

    def __init__(self, text: str, labels: Sequence[str]) -> None:
        self.text, self.labels = text, tuple(labels)
        self.rest = iter(list(tokens(text)))
        self.next = next(self.rest)

    def take(self) -> Token:
        token = self.next
        self.next = next(self.rest, token)
        return token

    def condition(self, depth: int) -> Condition:
        parts = [self.every(depth)]
        while self.next.kind == "or":
            self.take()
            parts.append(self.every(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def every(self, depth: int) -> Condition:
        parts = [self.single(depth)]
        while self.next.kind == "and":
            self.take()
            parts.append(self.single(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def single(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise error_at(self.text, self.next.at, f"it is nested more than {DEEPEST} levels deep.")
        if self.next.kind == "not":
            self.take()
            return Not(self.single(depth + 1))
        if self.next.kind == "(":
            opened = self.take()
            condition = self.condition(depth + 1)
            if self.next.kind != ")":
                raise self.unexpected(f"and, or, or the parenthesis that closes character {opened.at + 1}")
            self.take()
            return condition
        if self.next.kind != "label":
            raise self.unexpected("a label, not, or a parenthesis")
        return self.labeled(self.take())

    def labeled(self, token: Token) -> Condition:
        label = self.number_of(token)
        if self.next.kind != "compare":
            return Has(label)
        sign, number = self.take().text, self.take()
        if number.kind != "label" or not _NUMBER.fullmatch(number.text) or float(number.text) > 1:
            raise error_at(self.text, number.at, f"a probability from 0 to 1 has to follow {sign}.")
        return Compared(label, sign, float(number.text))

    def number_of(self, token: Token) -> int:
        if token.text in self.labels:
            return self.labels.index(token.text)
        alike = [i for i, label in enumerate(self.labels) if label.casefold() == token.text.casefold()]
        if len(alike) == 1:
            return alike[0]
        spaces = any(" " in label for label in spelled_like(token.text, self.labels))
        near = nearest_names(token.text, self.labels) + _QUOTED * spaces
        raise error_at(self.text, token.at, f"there is no label {shown_text(token.text, 80)!r}. {near}")

    def unexpected(self, wanted: str) -> Exception:
        found = "the end" if self.next.kind == "end" else repr(shown_text(self.next.text, 80))
        spaces = _QUOTED * (self.next.kind == "label")
        return error_at(self.text, self.next.at, f"{wanted} should stand here, not {found}.{spaces}")
