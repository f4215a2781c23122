"""Candidates measured in turns, and what their rounds allow to be said: a ratio, or that there is none.

A machine that is busy for a while should be busy for all candidates, so they take turns, and what is compared are the
values of one round. Rounds that differ much say that something else ran meanwhile: then no number is right.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .progress import Track, silent

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

#: Rounds of turns.
ROUNDS = 5
#: Rounds agree where the largest of them is at most so many times the smallest.
WIDEST = 1.5


def in_turns(
    candidates: Mapping[K, Callable[[], T]],
    rounds: int = ROUNDS,
    track: Track = silent,
    what: str = "Timing",
) -> dict[K, tuple[T, ...]]:
    """Measure every candidate once a round; its values by its name, one a round.

    Every other round goes through them backwards, so that none always comes first.

    Args:
        candidates: a name to what measures it once.
        rounds: at least 1.
        track: shows progress, called `what`.
    """
    names = list(candidates)
    turns = [name for number in range(rounds) for name in (names[::-1] if number % 2 else names)]
    found: dict[K, list[T]] = {name: [] for name in names}
    for name in track(turns, what, len(turns)):
        found[name].append(candidates[name]())
    return {name: tuple(values) for name, values in found.items()}


@dataclass(frozen=True)
class Spread:
    """One positive value a round, times or ratios, and the verdict on them."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds; NaN where one of them is, or without any."""
        if not self.values or any(math.isnan(value) for value in self.values):
            return math.nan
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest round."""
        return min(self.values, default=math.nan)

    @property
    def high(self) -> float:
        """The largest round."""
        return max(self.values, default=math.nan)

    @property
    def agree(self) -> bool:
        """Finite, positive, and the largest at most WIDEST times the smallest."""
        # written so that NaN fails
        sound = bool(self.values) and all(0 < value < math.inf for value in self.values)
        return sound and self.high <= WIDEST * self.low

    @property
    def value(self) -> float | None:
        """The median; None where the rounds disagree."""
        return self.median if self.agree else None

    @property
    def counted(self) -> str:
        """Number of rounds in words, such as "5 rounds"."""
        return "1 round" if len(self.values) == 1 else f"{len(self.values)} rounds"

    def times(self) -> str:
        """As a ratio: "9.1x (8.6 to 9.8 in 5 rounds)", or why there is none."""
        if not self.agree:
            return f"not comparable: {self.counted} between {self.low:.3g}x and {self.high:.3g}x; the machine was busy"
        digits = 1 if self.median >= 3 else 2
        low, median, high = (f"{value:.{digits}f}" for value in (self.low, self.median, self.high))
        return f"{median}x ({low} to {high} in {self.counted})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """The quotients of two candidates, round by round; NaN where the second is 0."""
    return Spread(tuple(a / b if b else math.nan for a, b in zip(numerators, denominators, strict=True)))
