"""Samples: images by modality, and labels; and benchmarks, which are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Camera, identity or scene that is not known.
UNKNOWN = -1


@dataclass(frozen=True)
class ImageSource:
    """Where one image is: a file, or a box (left, top, right, bottom) in pixels of it."""

    path: Path
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Sample:
    """One observation by one or several sensors.

    Attributes:
        name: in messages.
        sources: images by modality; a missing image has no entry.
        identity: the number in the file name; -1 = unknown.
        camera: zero-based; -1 = unknown.
        scene: -1 where the benchmark has none.
        labels: of other tasks, by name.
    """

    name: str
    sources: Mapping[str, ImageSource] = field(hash=False)
    identity: int = UNKNOWN
    camera: int = UNKNOWN
    scene: int = UNKNOWN
    labels: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Benchmark:
    """A data set as read from disk.

    `junk` names the field ("camera" or "scene") that makes a gallery sample of the query's identity not count.
    `image_size` is (height, width) in pixels, as the model sees it.
    """

    name: str
    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    junk: str
    image_size: tuple[int, int]
