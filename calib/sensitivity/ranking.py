"""Ranking of layers or groups by their accuracy loss alone in int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...common.progress import Track, silent
from ...common.records import Report
from ...common.tables import points, text_table
from .groups import grouped
from .loss import Judge, Loss
from .measurement import Material
from .staged_model import Chain, Values
from .state import State

#: Rows that the printed table shows.
_SHOWN = 15

_MEASURED = "layers"


@dataclass(frozen=True)
class Sensitivity:
    """Layer or group: its modules, its loss alone in int8, and its multiplications per sample."""

    name: str
    modules: tuple[str, ...]
    loss: Loss
    work: int


@dataclass(frozen=True)
class Ranking(Report):
    """All groups, the largest loss first: by the median of 1 - cosine, then by name.

    The median is what ranks, since other images give the same order. A value beyond the range that calibration saw is
    clipped, and one such sample can make most of a mean; a mAP of a few hundred queries moves in steps.

    Attributes:
        entries: ranked.
        grouping: "layer", "block" or "kind".
        samples: that were measured on.
        queries: of them that count for mAP, under the rule `junk`.
        map: of the float model; None where no identity has two images.
        key: hashes and options that the numbers depend on.
    """

    entries: tuple[Sensitivity, ...]
    grouping: str
    samples: int
    queries: int
    junk: str
    map: float | None
    key: dict[str, Any]

    def __str__(self) -> str:
        rows = [("", self.grouping, "median 1-cos", "mean", "+-", "largest", "mAP drop", "share of work")]
        total = sum(entry.work for entry in self.entries) or 1
        for number, entry in enumerate(self.entries[:_SHOWN], start=1):
            loss = entry.loss
            turned = (f"{loss.median:.2e}", f"{loss.mean:.2e}", f"{loss.error:.0e}", f"{loss.largest:.2e}")
            share = f"{100 * entry.work / total:.1f} %"
            rows.append((str(number), entry.name, *turned, points(loss.map_drop), share))
        rest = len(self.entries) - _SHOWN
        lines = [
            f"{len(self.entries)} x {self.grouping}, one at a time in int8, on {self.samples} samples",
            text_table(rows, "<<>"),
        ]
        return "\n".join([*lines, *([f"... and {rest} that cost less"] if rest > 0 else [])])


def judge_of(chain: Chain, material: Material) -> Judge:
    """Return the comparison with the float model's embeddings of the material.

    Raises:
        ArtifactError: they are not finite.
    """
    reference = chain.finish(0, material.batches(), {})
    return Judge(reference, material.identities, material.groups, material.junk)


def rank(chain: Chain, material: Material, grouping: str, state: State, judge: Judge, track: Track = silent) -> Ranking:
    """Measure every group; what `state` holds already is not measured again. `judge` is of the same material.

    Raises:
        InputError: an unknown grouping.
        ArtifactError: embeddings that are not finite, or a state that is damaged.
    """
    groups = grouped([point.module for point in chain.points], grouping)
    work = chain.work({name: value[:1] for name, value in material.feeds.items()})
    losses = _losses(chain, material.batches(), groups, judge, state, track)
    entries = [
        Sensitivity(name, own, losses[name], sum(work[module] for module in own)) for name, own in groups.items()
    ]
    entries.sort(key=lambda entry: (-entry.loss.median, entry.name))
    return Ranking(tuple(entries), grouping, material.samples, judge.queries, judge.junk, judge.map, dict(state.key))


def _losses(
    chain: Chain,
    values: list[Values],
    groups: Mapping[str, tuple[str, ...]],
    judge: Judge,
    state: State,
    track: Track,
) -> dict[str, Loss]:
    """Measure the groups in the order of the graph: what precedes a group is computed once for all that begin there."""
    first = {name: min(chain.place[module] for module in modules) for name, modules in groups.items()}
    found: dict[str, Loss] = {}
    reached = 0
    for name in track(sorted(groups, key=lambda name: first[name]), "Measuring layers in int8", len(groups)):
        known = state.get(_MEASURED, name, Loss)
        if known is None:
            while reached < first[name]:
                values = chain.step(reached, values)
                reached += 1
            known = judge.loss(chain.finish(reached, values, chain.in_int8(groups[name])), f"{name} in int8")
            state.put(_MEASURED, name, known)
        found[name] = known
    return found
