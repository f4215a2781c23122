"""The curve and the choice, on losses and times that are given."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from mambapro.calib.sensitivity.loss import Loss
from mambapro.calib.sensitivity.pareto import Limits, Pareto, Search, by_cost_per_work, find_choice, steps
from mambapro.calib.sensitivity.ranking import Sensitivity
from mambapro.errors import InputError

GROUPS = 40


class Given:
    """A search whose losses and times are functions of the number of groups in float."""

    def __init__(
        self, loss: Callable[[int], float], time: Callable[[int, int], float], drop: float | None = 0.0
    ) -> None:
        self.order = tuple(f"group{i}" for i in range(GROUPS))
        self.judge, self.state = SimpleNamespace(map=0.9), SimpleNamespace(key={"model": "hash"})
        self._loss, self._time, self._drop = loss, time, drop
        self.asked: list[int] = []

    def loss(self, count: int) -> Loss:
        self.asked.append(count)
        value = 0.0 if count == GROUPS else self._loss(count)
        return Loss(value / 2, value / 3, value, 0.0, self._drop if count < GROUPS else 0.0)

    def milliseconds(self, count: int, round_: int) -> float:
        return self._time(count, round_)

    def share(self, count: int) -> float:
        return 1 - count / GROUPS


def choice(search: Any, limits: Limits) -> Pareto:
    return find_choice(search, limits, "onnxruntime", 1)


def test_steps_are_few_and_close_at_the_start() -> None:
    """About ten numbers from none to all."""
    assert steps(83)[0] == 0 and steps(83)[-1] == 83 and 8 <= len(steps(83)) <= 12
    gaps = [b - a for a, b in zip(steps(83), steps(83)[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert steps(1) == [0, 1]
    assert steps(3) == [0, 1, 2, 3]


def test_all_in_int8_where_it_may_be() -> None:
    """Within the limits the fastest is taken."""
    found = choice(Given(lambda n: 1e-3 / (n + 1), lambda n, _: 10 + n), Limits(0.01, 0.01))

    assert found.choice.floats == ()
    assert found.choice.milliseconds == 10
    assert all(point.front for point in found.points)


def test_the_limit_is_approached() -> None:
    """Between the last choice that is not allowed and the next that is, halves are measured."""
    search = Given(lambda n: 0.1 if n < 15 else 0.001, lambda n, _: 10 + n)

    found = choice(search, Limits(0.01, 0.01))

    assert len(found.choice.floats) == 15
    assert search.asked == [*steps(GROUPS), *search.asked[len(steps(GROUPS)) :]]
    assert len(search.asked) <= len(steps(GROUPS)) + 3


def test_map_decides_too() -> None:
    """A drop of mAP above its limit rules a choice out, whatever its cosine; without a mAP the cosine decides."""
    lossy = choice(Given(lambda n: 1e-4, lambda n, _: 10 + n, drop=0.02), Limits(0.01, 0.01))
    unknown = choice(Given(lambda n: 1e-4, lambda n, _: 10 + n, drop=None), Limits(0.01, 0.01))

    assert lossy.choice.floats == lossy.order
    assert unknown.choice.floats == ()


def test_equally_fast() -> None:
    """Of choices whose times differ by less than timings do, the one that loses least is taken."""
    found = choice(Given(lambda n: 1e-3 / (n + 1), lambda n, _: 10.0 if n < 5 else 12.0), Limits(0.01, 0.01))

    assert len(found.choice.floats) == max(n for n in steps(GROUPS) if n < 5)


def test_times_are_medians_of_rounds() -> None:
    """One round on a busy machine changes nothing."""
    found = choice(Given(lambda n: 1e-3, lambda n, round_: 1000.0 if round_ == 1 else 10.0 + n), Limits(0.01, 0.01))

    assert [point.milliseconds for point in found.points] == [10.0 + len(point.floats) for point in found.points]


def test_beaten_points() -> None:
    """A choice that another one beats in both is not on the front."""
    found = choice(Given(lambda n: 1e-3 / (n + 1), lambda n, _: 50.0 if n == 2 else 10.0 + n), Limits(0.01, 0.01))

    assert [len(point.floats) for point in found.points if not point.front] == [2]


def test_order_of_going_back() -> None:
    """By what a group costs per multiplication; equal ones by name."""

    def entry(name: str, mean: float, work: int) -> Sensitivity:
        return Sensitivity(name, (name,), Loss(mean, mean, mean, 0.0, None), work)

    entries = [entry("big", 4.0, 100), entry("b", 1.0, 10), entry("a", 1.0, 10), entry("small", 1.0, 5)]

    assert [found.name for found in by_cost_per_work(entries)] == ["small", "a", "b", "big"]


@pytest.mark.parametrize("limits", [(-0.1, 0.1), (1.1, 0.1), (0.1, 0.0), (0.1, 3.0)])
def test_limits_that_cannot_be_meant(limits: tuple[float, float]) -> None:
    """Limits are fractions of mAP and values that 1 - cosine can have."""
    with pytest.raises(InputError, match="fraction from 0 to 1"):
        Limits(*limits)


def test_the_table_names_the_choice() -> None:
    """The printed table has a line for each point and marks the chosen one."""
    text = str(choice(Given(lambda n: 1e-3 / (n + 1), lambda n, _: 10 + n), Limits(0.01, 0.01)))

    assert text.splitlines()[0] == "40 groups, onnxruntime, batch 1; limits: mAP drop 1.00, 1 - cosine 1e-02"
    assert sum("chosen" in line for line in text.splitlines()) == 1


def test_the_limit_is_on_the_largest_and_reached() -> None:
    """A choice whose mean is far below but whose worst sample is above the limit is not allowed; one at it is."""
    limits = Limits(0.01, 0.01)

    assert not limits.hold(Loss(1e-4, 1e-5, 0.0101, 0.0, 0.0))
    assert limits.hold(Loss(1e-4, 1e-5, 0.01, 0.0, 0.01))
    assert not limits.hold(Loss(1e-4, 1e-5, 0.001, 0.0, 0.0101))


def test_the_front_holds_no_dominated_point() -> None:
    """A point that another equals in one and beats in the other is not on the front; two equal points both are."""
    found = choice(
        Given(lambda n: 0.5 if n < 3 else 1e-3, lambda n, _: {0: 10.0, 1: 10.0, 2: 11.0}.get(n, 20.0 + n)), Limits()
    )
    counts = {len(point.floats): point.front for point in found.points}

    # 0 and 1 are alike; 2 is as lossy and slower; 3 is the fastest of those that lose less; all that follow lose as
    # much and are slower, but the last, which loses nothing
    assert (counts[0], counts[1], counts[2], counts[3]) == (True, True, False, True)
    assert [n for n, front in counts.items() if n > 3 and front] == [GROUPS]


def test_equal_times_and_other_losses() -> None:
    """Of two that are equally fast only the one that loses less is on the front."""
    found = choice(Given(lambda n: 1e-3 / (n + 1), lambda n, _: 10.0), Limits())

    assert [len(point.floats) for point in found.points if point.front] == [GROUPS]


def test_the_search_begins_at_the_last_that_fails() -> None:
    """Losses need not fall evenly: one that holds between failing ones is not where the search goes on."""
    measured = steps(GROUPS)
    hole, last = measured[2], measured[-3]
    search = Given(lambda n: 0.1 if n <= last and n != hole else 0.001, lambda n, _: 10 + n)

    choice(search, Limits(0.01, 0.01))

    assert all(last < asked < measured[-2] for asked in search.asked[len(measured) :])
    assert len(search.asked) > len(measured)


class TestSearch:
    """`Search` itself, on a model that is never looked at."""

    @pytest.fixture
    def search(self) -> Search:
        entries = tuple(
            Sensitivity(name, (name,), Loss(mean, mean, mean, 0.0, None), work)
            for name, mean, work in (("a", 1.0, 10), ("b", 8.0, 20), ("c", 3.0, 70))
        )
        ranking = SimpleNamespace(entries=entries)
        return Search(None, None, "openvino", None, (), ranking, None, None, None)  # type: ignore[arg-type]

    def test_share_is_what_is_in_int8(self, search: Search) -> None:
        """b costs most per multiplication, then a, then c: 80 %, then 70 % of the work is left in int8."""
        assert search.order == ("b", "a", "c")
        assert [search.share(count) for count in range(4)] == pytest.approx([1.0, 0.8, 0.7, 0.0])


def test_a_busy_machine_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Where the rounds of a choice disagree, the one that does so most is named, and what to do."""
    caplog.set_level(logging.WARNING, logger="mambapro")

    choice(Given(lambda n: 1e-3, lambda n, number: 10 + n + 30 * (number == 1 and n == 0)), Limits(0.01, 0.01))
    choice(Given(lambda n: 1e-3, lambda n, number: 10 + n + number), Limits(0.01, 0.01))

    (message,) = caplog.messages
    assert message.startswith("the machine was busy while 1 of ")
    assert "0 in float took 10.00 to 40.00 ms in its rounds" in message


def test_choices_take_turns() -> None:
    """Three rounds, every other one backwards; a round's number is its place in the state."""
    asked: list[tuple[int, int]] = []
    choice(Given(lambda n: 1e-3, lambda n, number: asked.append((n, number)) or 10.0), Limits(0.01, 0.01))

    counts = sorted({count for count, _ in asked})
    assert asked == [(n, i) for i in range(3) for n in (counts[::-1] if i == 1 else counts)]
