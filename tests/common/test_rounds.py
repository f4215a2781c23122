"""Turns and rounds: what a busy machine does to a comparison, on a machine whose clock and load are made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from mambapro.common.rounds import WIDEST, Spread, in_turns, ratios


class Machine:
    """Time passes with what runs; between two moments something else runs too, and slows down some more than others."""

    def __init__(self, busy: tuple[float, float]) -> None:
        self.now, self.busy = 0.0, busy

    def candidate(self, seconds: float, slowdown: float, runs: int = 4) -> Callable[[], float]:
        """Measures the mean seconds of one call of something that takes `seconds`, under the load `slowdown` times."""

        def measure() -> float:
            started = self.now
            for _ in range(runs):
                loaded = self.busy[0] <= self.now < self.busy[1]
                self.now += seconds * (slowdown if loaded else 1.0)
            return (self.now - started) / runs

        return measure


def test_turns_alternate() -> None:
    """Every candidate once a round, every other round backwards; the track knows how many turns there are."""
    order: list[str] = []
    told: list[tuple[str, int | None]] = []

    def track(items: Iterable, description: str, total: int | None = None) -> Iterable:
        told.append((description, total))
        return items

    found = in_turns({name: lambda name=name: order.append(name) or len(order) for name in "abc"}, 3, track, "Racing")

    assert "".join(order) == "abccbaabc"
    assert found == {"a": (1, 6, 7), "b": (2, 5, 8), "c": (3, 4, 9)}
    assert told == [("Racing", 9)]


@pytest.mark.parametrize("slowdowns", [(1.0, 4.0), (4.0, 1.0), (4.0, 4.0), (1.3, 1.1), (30.0, 2.0)], ids=str)
def test_a_load_during_a_third_gives_the_right_ratio_or_none(slowdowns: tuple[float, float]) -> None:
    """Nine times as fast stays about nine, or is refused: whenever the load comes, and whomever it slows down more."""
    for start in range(0, 200, 7):
        machine = Machine((start, start + 67))
        slow, fast = machine.candidate(9.0, slowdowns[0]), machine.candidate(1.0, slowdowns[1])

        times = in_turns({"slow": slow, "fast": fast})

        found = ratios(times["slow"], times["fast"])
        assert found.value is None or found.value == pytest.approx(9.0, rel=0.01)


def test_one_after_the_other_would_have_misled() -> None:
    """The same load on candidates that are not interleaved gives a ratio far off: this machine can mislead."""
    machine = Machine((0, 120))
    slow, fast = machine.candidate(9.0, 4.0), machine.candidate(1.0, 4.0)

    one_after_the_other = slow(), fast()

    assert one_after_the_other[0] / one_after_the_other[1] > 30


def test_ratio_with_its_spread() -> None:
    """Agreeing rounds give the median and both ends; disagreeing ones both ends and no ratio."""
    good, bad = Spread((9.1, 8.6, 9.8, 9.0, 9.2)), Spread((8.6, 9.0, 37.0, 9.1, 9.2))

    assert (good.value, good.times()) == (9.1, "9.1x (8.6 to 9.8 in 5 rounds)")
    assert bad.value is None
    assert bad.times() == "not comparable: 5 rounds between 8.6x and 37x; the machine was busy"
    assert Spread((1.04, 0.98, 1.1)).times() == "1.04x (0.98 to 1.10 in 3 rounds)"


@pytest.mark.parametrize(
    ("values", "agree"),
    [
        ((1.0, WIDEST), True),
        ((1.0, WIDEST * 1.001), False),
        ((1.0,), True),
        ((), False),
        ((1.0, math.nan), False),
        ((math.nan, 1.0), False),
        ((1.0, math.inf), False),
        ((0.0, 0.0), False),
        ((-1.0, -1.0), False),
    ],
)
def test_agreement(values: tuple[float, ...], agree: bool) -> None:
    """The largest is at most WIDEST times the smallest, and every round is a positive number."""
    assert Spread(values).agree is agree


def test_ratios_are_of_one_round() -> None:
    """Numerator over denominator of each round; a time of zero gives no ratio, lists of other lengths an error."""
    assert ratios((8.0, 9.0), (4.0, 3.0)).values == (2.0, 3.0)
    assert ratios((8.0,), (0.0,)).value is None
    with pytest.raises(ValueError, match="shorter"):
        ratios((8.0, 9.0), (4.0,))
