"""Pareto curve of accuracy loss against latency, and the layers that return to floating point.

From all in int8, layers go back to float in the order of what they cost per multiplication. The time that int8 saves is
measured for the whole, and a layer's part of it is taken to be its part of the multiplications: a single layer's is
smaller than the noise. So the order is by sensitivity per millisecond, in a few steps that are each measured. Here the
mean counts, since it holds the samples that suffer most, and the limits are about them.
"""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from ...common.progress import Track, silent
from ...common.records import Report
from ...common.rounds import Spread, in_turns
from ...common.tables import points, text_table
from ...errors import InputError
from ...graph.quantize import quantized
from ...graph.scales import ScaleTable
from .loss import Judge, Loss
from .ranking import Ranking, Sensitivity
from .staged_model import Chain, Values
from .state import State
from .timing import Clock

log = logging.getLogger("mambapro")

#: Times that every choice is timed, in turns: a machine that is busy for a while should be busy for all of them.
ROUNDS = 3
#: Points of the curve before the search between two of them.
STEPS = 9
#: Points that the search adds at most.
REFINEMENTS = 3
#: Points this much slower than the fastest count as equally fast: timings of one model differ by as much.
EQUALLY_FAST = 1.03

_LOSSES, _TIMES = "choices", "times"


@dataclass(frozen=True)
class Limits:
    """Limits of a choice: the largest drop of mAP, a fraction, and the largest cosine distance of a sample."""

    map_drop: float = 0.01
    departure: float = 0.01

    def __post_init__(self) -> None:
        if not (0 <= self.map_drop <= 1 and 0 < self.departure <= 2):
            raise InputError(
                "The largest drop of mAP must be a fraction from 0 to 1 and the largest 1 - cosine above 0, at most 2, "
                f"not {self.map_drop} and {self.departure}."
            )

    def hold(self, loss: Loss) -> bool:
        """Return whether a loss is allowed; a mAP that could not be measured does not count."""
        return loss.largest <= self.departure and (loss.map_drop is None or loss.map_drop <= self.map_drop)


@dataclass(frozen=True)
class Timed:
    """Median milliseconds of one round."""

    milliseconds: float


@dataclass(frozen=True)
class Point:
    """One choice: the groups that are in floating point, all others in int8.

    Attributes:
        floats: names of the groups, in the order they were given back.
        share: part of the multiplications (of what may be quantized) that is in int8, 0..1.
        loss, milliseconds: measured.
        front: no other point is faster and loses less.
    """

    floats: tuple[str, ...]
    share: float
    loss: Loss
    milliseconds: float
    front: bool = False


@dataclass(frozen=True)
class Pareto(Report):
    """The curve, from all in int8 to all in floating point.

    Attributes:
        points: by number of groups in floating point.
        chosen: number of the fastest point within `limits`; of those that are as fast, the one that loses least.
        limits: what it may cost.
        target: where it was timed.
        batch: samples per timed run.
        order: all groups in the order they go back to floating point.
        map: of the float model; None where it could not be measured.
        key: hashes and options that the numbers depend on.
    """

    points: tuple[Point, ...]
    chosen: int
    limits: Limits
    target: str
    batch: int
    order: tuple[str, ...]
    map: float | None
    key: dict[str, Any]

    @property
    def choice(self) -> Point:
        """Chosen point."""
        return self.points[self.chosen]

    def __str__(self) -> str:
        rows = [("", "in float", "int8 work", "ms", "mAP drop", "mean 1-cos", "largest", "")]
        for number, point in enumerate(self.points):
            marks = ("chosen" if number == self.chosen else "") or ("front" if point.front else "")
            loss = point.loss
            numbers = (points(loss.map_drop), f"{loss.mean:.2e}", f"{loss.largest:.2e}", marks)
            share = f"{100 * point.share:.0f} %"
            rows.append((str(number), str(len(point.floats)), share, f"{point.milliseconds:.2f}", *numbers))
        head = f"{len(self.order)} groups, {self.target}, batch {self.batch}"
        limits = f"limits: mAP drop {100 * self.limits.map_drop:.2f}, 1 - cosine {self.limits.departure:.0e}"
        return "\n".join([f"{head}; {limits}", text_table(rows)])


class Search:
    """Measurement of choices; those in the state are not measured again.

    Args:
        model: the whole float model.
        scales: its table.
        layout: of Q/DQ nodes.
        chain: the same model in segments, for the accuracy.
        values: the graph's inputs in batches.
        ranking, judge: of `rank`.
        clock: times a model.
        state: what was measured so far.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        scales: ScaleTable,
        layout: str,
        chain: Chain,
        values: Sequence[Values],
        ranking: Ranking,
        judge: Judge,
        clock: Clock,
        state: State,
    ) -> None:
        self._model, self._scales, self._layout = model, scales, layout
        self._chain, self._values, self.judge, self._clock, self.state = chain, values, judge, clock, state
        self._entries = by_cost_per_work(ranking.entries)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the groups in the order they go back to float."""
        return tuple(entry.name for entry in self._entries)

    def loss(self, count: int) -> Loss:
        """Return the loss of the choice with the first `count` groups in floating point."""
        name = self._name(count)
        found = self.state.get(_LOSSES, name, Loss)
        if found is None:
            variants = self._chain.in_int8(self._modules(count))
            found = self.judge.loss(self._chain.finish(0, self._values, variants), name)
            self.state.put(_LOSSES, name, found)
        return found

    def milliseconds(self, count: int, round_: int) -> float:
        """Time that choice once in the target's runtime."""
        name = f"{self._name(count)}, round {round_}"
        found = self.state.get(_TIMES, name, Timed)
        if found is None:
            found = Timed(self._clock(quantized(self._model, self._scales, self._layout, self._modules(count))))
            self.state.put(_TIMES, name, found)
        return found.milliseconds

    def share(self, count: int) -> float:
        """Return the part of the multiplications that is in int8."""
        work = [entry.work for entry in self._entries]
        return sum(work[count:]) / sum(work)

    def _name(self, count: int) -> str:
        return f"{count} of {len(self._entries)} in float"

    def _modules(self, count: int) -> list[str]:
        return [module for entry in self._entries[count:] for module in entry.modules]


def by_cost_per_work(entries: Sequence[Sensitivity]) -> tuple[Sensitivity, ...]:
    """Return the groups in the order in which they go back to floating point."""
    return tuple(sorted(entries, key=lambda entry: (-entry.loss.mean / max(entry.work, 1), entry.name)))


def steps(groups: int, count: int = STEPS) -> list[int]:
    """Return the numbers of groups in float to measure: 0, all, and more at the start, where most is won."""
    between = np.geomspace(1, max(groups, 1), max(count - 1, 2)).round().astype(int).tolist()
    return sorted({0, *between, groups})


def find_choice(search: Search, limits: Limits, target: str, batch: int, track: Track = silent) -> Pareto:
    """Measure the curve and choose the fastest point within the limits; the model in floating point always is.

    Raises:
        ArtifactError: embeddings that are not finite, or a model that the target refuses.
        SetupError: the target's library is missing.
    """
    counts = steps(len(search.order))
    losses = {count: search.loss(count) for count in track(counts, "Measuring choices", len(counts))}
    for _ in track(range(REFINEMENTS), "Searching near the limits", REFINEMENTS):
        middle = _between(losses, limits)
        if middle is not None:
            losses[middle] = search.loss(middle)
    times = in_turns({count: _rounds(search, count) for count in sorted(losses)}, ROUNDS, track, f"Timing in {target}")
    _warn_of_busy_rounds(times, target)
    curve = _with_front(
        [Point(search.order[:n], search.share(n), losses[n], statistics.median(times[n])) for n in times]
    )
    allowed = [number for number, point in enumerate(curve) if limits.hold(point.loss)]
    chosen = _best(curve, allowed)
    key = dict(search.state.key)
    return Pareto(tuple(curve), chosen, limits, target, batch, search.order, search.judge.map, key)


def _rounds(search: Search, count: int) -> Callable[[], float]:
    """Yield one more timing of a choice at a time."""
    numbers = itertools.count()
    return lambda: search.milliseconds(count, next(numbers))


def _warn_of_busy_rounds(times: Mapping[int, Sequence[float]], target: str) -> None:
    """Warn if the rounds of a choice disagree: the fastest one is then a matter of chance."""
    busy = {count: spread for count, rounds in times.items() if not (spread := Spread(tuple(rounds))).agree}
    if busy:
        count, spread = max(busy.items(), key=lambda item: item[1].high / item[1].low)
        log.warning(
            "the machine was busy while %d of %d choices were timed in %s: %d in float took %.2f to %.2f ms in its "
            "rounds. Measure again on a quiet one, with --overwrite, before the milliseconds decide.",
            len(busy), len(times), target, count, spread.low, spread.high,
        )  # fmt: skip


def _best(curve: Sequence[Point], allowed: Sequence[int]) -> int:
    """Return the fastest of the allowed points; of those that are equally fast the one that loses least."""
    fastest = min(curve[number].milliseconds for number in allowed)
    fast = [number for number in allowed if curve[number].milliseconds <= EQUALLY_FAST * fastest]
    return min(fast, key=lambda number: (curve[number].loss.mean, number))


def _between(losses: dict[int, Loss], limits: Limits) -> int | None:
    """Return the number half way from the last forbidden choice to the next allowed one; None without one."""
    counts = sorted(losses)
    failing = [count for count in counts if not limits.hold(losses[count])]
    if not failing:
        return None
    low = failing[-1]
    high = next(count for count in counts if count > low)
    return (low + high) // 2 if high - low > 1 else None


def _with_front(curve: list[Point]) -> list[Point]:
    def beaten(point: Point) -> bool:
        return any(
            other.milliseconds <= point.milliseconds
            and other.loss.mean <= point.loss.mean
            and (other.milliseconds, other.loss.mean) != (point.milliseconds, point.loss.mean)
            for other in curve
        )

    return [replace(point, front=not beaten(point)) for point in curve]
