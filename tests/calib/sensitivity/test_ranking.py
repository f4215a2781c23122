"""The order of the ranking, on losses that are given."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from mambapro.calib.sensitivity.loss import Loss
from mambapro.calib.sensitivity.ranking import rank


class GivenChain:
    """Three layers in two segments; the steps that are computed are noted."""

    def __init__(self) -> None:
        self.points = [SimpleNamespace(module=name) for name in ("a", "b", "c")]
        self.place = {"a": 0, "b": 1, "c": 1}
        self.done: list[Any] = []

    def work(self, feeds: Any) -> dict[str, int]:
        return {"a": 10, "b": 20, "c": 30}

    def in_int8(self, modules: Any) -> tuple[str, ...]:
        return tuple(modules)

    def step(self, number: int, values: Any) -> Any:
        self.done.append(number)
        return values

    def finish(self, number: int, values: Any, variants: tuple[str, ...]) -> tuple[str, ...]:
        self.done.append((number, *variants))
        return variants


class GivenJudge:
    """Losses by layer: (mean, median)."""

    queries, junk, map = 4, "camera", 0.5

    def loss(self, variants: tuple[str, ...], what: str) -> Loss:
        mean, median = {"a": (9.0, 1.0), "b": (2.0, 3.0), "c": (1.0, 3.0)}[variants[0]]
        return Loss(mean, median, 2 * mean, 0.1, 0.0125)


class Nothing:
    """A state that holds nothing."""

    key: Mapping[str, str] = MappingProxyType({})

    def get(self, *_: object) -> None:
        return None

    def put(self, *_: object) -> None:
        return None


def ranked() -> tuple[Any, GivenChain]:
    """The ranking by layer, and the chain that was used."""
    chain = GivenChain()
    material = SimpleNamespace(feeds={}, batches=list, samples=4)
    return rank(chain, material, "layer", Nothing(), GivenJudge()), chain  # type: ignore[arg-type]


def test_by_the_median_then_by_name() -> None:
    """A mean that one sample makes does not count; of equal medians the name decides."""
    ranking, _ = ranked()

    assert [entry.name for entry in ranking.entries] == ["b", "c", "a"]
    assert [entry.work for entry in ranking.entries] == [20, 30, 10]


def test_what_comes_before_is_computed_once() -> None:
    """The segment before the second one runs once for both layers in it."""
    _, chain = ranked()

    assert chain.done == [(0, "a"), 0, (1, "b"), (1, "c")]


def test_the_table() -> None:
    """Each line has its rank, losses, the drop in points and the share of the work."""
    lines = str(ranked()[0]).splitlines()

    assert lines[0] == "3 x layer, one at a time in int8, on 4 samples"
    assert lines[2].split() == ["1", "b", "3.00e+00", "2.00e+00", "1e-01", "4.00e+00", "+1.25", "33.3", "%"]
