"""Interleaved measurement of candidates in rounds, and its evaluation: a ratio, or none if the rounds disagree.

Temporary load of the machine should affect all candidates, so they take turns, and the values of one round are
compared. Rounds that differ much show that other work was running: then no number is reliable.
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

#: Default number of rounds.
ROUNDS = 5
#: Rounds agree if the largest is at most this many times the smallest.
WIDEST = 1.5


def in_turns(
    candidates: Mapping[K, Callable[[], T]],
    rounds: int = ROUNDS,
    track: Track = silent,
    what: str = "Timing",
) -> dict[K, tuple[T, ...]]:
    """Measure every candidate once per round. Every other round reverses the order, so that none always comes first.

    Args:
        candidates: a name to a function that measures it once.
        rounds: at least 1.
        track: shows progress, labeled `what`.

    Returns:
        values by name, one per round.
    """
    names = list(candidates)
    turns = [name for number in range(rounds) for name in (names[::-1] if number % 2 else names)]
    found: dict[K, list[T]] = {name: [] for name in names}
    for name in track(turns, what, len(turns)):
        found[name].append(candidates[name]())
    return {name: tuple(values) for name, values in found.items()}


@dataclass(frozen=True)
class Spread:
    """One positive value per round, times or ratios, and its evaluation."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds; NaN if one is NaN or there is none."""
        if not self.values or any(math.isnan(value) for value in self.values):
            return math.nan
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """Smallest round."""
        return min(self.values, default=math.nan)

    @property
    def high(self) -> float:
        """Largest round."""
        return max(self.values, default=math.nan)

    @property
    def agree(self) -> bool:
        """True if finite, positive, and the largest is at most WIDEST times the smallest."""
        # written so that NaN fails
        sound = bool(self.values) and all(0 < value < math.inf for value in self.values)
        return sound and self.high <= WIDEST * self.low

    @property
    def value(self) -> float | None:
        """Median, None if the rounds disagree."""
        return self.median if self.agree else None

    @property
    def counted(self) -> str:
        """Number of rounds as text, such as "5 rounds"."""
        return "1 round" if len(self.values) == 1 else f"{len(self.values)} rounds"

    def times(self) -> str:
        """Format as a ratio: "9.1x (8.6 to 9.8 in 5 rounds)", or the reason why there is none."""
        if not self.agree:
            return f"not comparable: {self.counted} between {self.low:.3g}x and {self.high:.3g}x; the machine was busy"
        digits = 1 if self.median >= 3 else 2
        low, median, high = (f"{value:.{digits}f}" for value in (self.low, self.median, self.high))
        return f"{median}x ({low} to {high} in {self.counted})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the quotients of two candidates by round; NaN where the second is 0."""
    return Spread(tuple(a / b if b else math.nan for a, b in zip(numerators, denominators, strict=True)))
