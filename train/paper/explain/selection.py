"""Selection of the samples in the pictures: some identities of the test part, some samples of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....common.foreign_text import escaped
from ....errors import InputError
from ....runtime.data.sample import Benchmark, Sample

#: Default number of identities, or all if there are fewer.
USUAL_IDENTITIES = 12
#: Most identities that colors and marker shapes can distinguish in one plot.
MOST_IDENTITIES = 56


@dataclass(frozen=True)
class Selection:
    """Chosen samples, grouped by identity in ascending order."""

    samples: tuple[Sample, ...]

    @property
    def labels(self) -> np.ndarray:
        """Identity of each sample, int64 (N,)."""
        return np.array([sample.identity for sample in self.samples], dtype=np.int64)

    @property
    def identities(self) -> tuple[int, ...]:
        """The chosen identities, ascending."""
        return tuple(dict.fromkeys(sample.identity for sample in self.samples))

    def rows(self, count: int) -> list[int]:
        """Return indices of at most `count` samples: one of each identity, then a second of each, ...

        The index of the first sample differs between identities, so that all cameras occur.
        """
        order: list[tuple[int, int]] = []
        for number, identity in enumerate(self.identities):
            (members,) = np.nonzero(self.labels == identity)
            order += enumerate(np.roll(members, -number).tolist())
        return [index for _, index in sorted(order, key=lambda pair: pair[0])[:count]]


def select_samples(benchmark: Benchmark, identities: int | None, samples: int, seed: int) -> Selection:
    """Draw `identities` of query and gallery, and of each at most `samples` samples, reproducibly by seed.

    A sample in both parts counts once. Identities with one sample are not drawn, since they allow no comparison. None
    is USUAL_IDENTITIES, or all if there are fewer.

    Raises:
        InputError: fewer than two such identities, fewer than requested, or numbers out of range.
    """
    if samples < 2:
        raise InputError(f"{samples} samples of each identity were asked for; a comparison needs at least 2.")
    if identities is not None and not 2 <= identities <= MOST_IDENTITIES:
        raise InputError(
            f"{identities} identities were asked for; give 2 to {MOST_IDENTITIES}: more cannot be told apart in a plot."
        )
    groups: dict[int, list[Sample]] = {}
    for sample in {(s.identity, s.name): s for s in (*benchmark.query, *benchmark.gallery)}.values():
        groups.setdefault(sample.identity, []).append(sample)
    usable = sorted(identity for identity, group in groups.items() if len(group) > 1)
    wanted = min(USUAL_IDENTITIES, len(usable)) if identities is None else identities
    if len(usable) < max(2, wanted):
        raise InputError(
            f"Too few identities: the test part of {escaped(benchmark.name)} has {len(usable)} with two "
            "samples or more, "
            f"{max(2, wanted)} are needed. Give fewer --identities, or a larger data set."
        )
    random = np.random.default_rng(seed)
    chosen: list[Sample] = []
    for identity in sorted(random.choice(usable, wanted, replace=False).tolist()):
        group = groups[identity]
        places = random.choice(len(group), min(samples, len(group)), replace=False)
        chosen += [group[place] for place in sorted(places.tolist())]
    return Selection(tuple(chosen))
