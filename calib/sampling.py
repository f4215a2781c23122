"""Balanced choice among many samples."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

from ..runtime.data.modalities import MODALITIES
from ..runtime.data.sample import Sample


def balanced(images: Sequence[Sample], dark: Sequence[bool | None], count: int, seed: int) -> list[int]:
    """Choose `count` images, by number, in turns so that identities, then cameras, then light and dark are even.

    The order of equals is drawn from the seed and the names, so it is the same on every machine.
    """
    drawn = sorted(range(len(images)), key=lambda i: hashlib.sha256(f"{seed} {images[i].name}".encode()).digest())
    identities: Counter[int] = Counter()
    cameras: Counter[int] = Counter()
    lights: Counter[bool | None] = Counter()

    def rank(i: int) -> tuple[int, int, int]:
        return identities[images[i].identity], cameras[images[i].camera], lights[dark[i]]

    # ranks only grow: an entry whose rank is still right when it comes up is the smallest of all
    heap = [((0, 0, 0), place) for place in range(len(drawn))]
    chosen: list[int] = []
    while heap and len(chosen) < count:
        known, place = heapq.heappop(heap)
        i = drawn[place]
        if rank(i) != known:
            heapq.heappush(heap, (rank(i), place))
            continue
        chosen.append(i)
        identities[images[i].identity] += 1
        cameras[images[i].camera] += 1
        lights[dark[i]] += 1
    return chosen


def missing_sensors(images: Iterable[Sample]) -> dict[str, int]:
    """Count the samples without an image, by sensor."""
    return dict(Counter(m for image in images for m in MODALITIES if m not in image.sources))
