"""A sample for calibration, and an even choice among many."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..runtime.data.inputs import UNKNOWN_CAMERA
from ..runtime.data.modalities import MODALITIES
from ..runtime.data.sample import ImageSource

UNKNOWN_IDENTITY = -1


@dataclass(frozen=True)
class CalibrationImage:
    """One sample: what each sensor saw (None = missing), in the order of MODALITIES; -1 = unknown."""

    name: str
    sources: tuple[ImageSource | None, ...]
    identity: int = UNKNOWN_IDENTITY
    camera: int = UNKNOWN_CAMERA

    def source(self, modality: str) -> ImageSource | None:
        """What one sensor saw."""
        return self.sources[MODALITIES.index(modality)]


def balanced(images: Sequence[CalibrationImage], dark: Sequence[bool | None], count: int, seed: int) -> list[int]:
    """Numbers of `count` images, chosen in turns so that identities, then cameras, then light and dark are even.

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


def missing_sensors(images: Iterable[CalibrationImage]) -> dict[str, int]:
    """How many samples lack each sensor's image."""
    return dict(Counter(m for image in images for m in MODALITIES if image.source(m) is None))
