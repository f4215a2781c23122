"""Samples (images by modality and labels) and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Unknown camera, identity or scene.
UNKNOWN = -1


@dataclass(frozen=True)
class ImageSource:
    """Location of one image: a file, or a box (left, top, right, bottom) in pixels of it."""

    path: Path
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Sample:
    """One observation by one or several sensors.

    Attributes:
        name: for messages.
        sources: images by modality; a missing image has no entry.
        identity: the number in the file name; -1 = unknown.
        camera: zero-based; -1 = unknown.
        scene: -1 if the benchmark has none.
        labels: of other tasks, by name.
    """

    name: str
    sources: Mapping[str, ImageSource] = field(hash=False)
    identity: int = UNKNOWN
    camera: int = UNKNOWN
    scene: int = UNKNOWN
    labels: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class AttributeNames:
    """Attributes that the samples of a benchmark are labeled with, in the order of all arrays.

    Attributes:
        names: of the attributes.
        words: the phrase of each for models with text.
        exclusive: groups of names, of which a person has at most one.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Data set as read from disk.

    `junk` names the field ("camera" or "scene") by which a gallery sample of the query's identity is ignored.
    `image_size` is (height, width) in pixels of the model's input. A set of labeled images has its test samples as
    `query`, no gallery, `attributes`, and validation samples where its publishers chose some.
    """

    name: str
    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    junk: str
    image_size: tuple[int, int]
    validation: tuple[Sample, ...] = ()
    attributes: AttributeNames | None = None
