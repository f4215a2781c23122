"""What a benchmark is made of: samples of three images, an identity, a camera, a scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageSource:
    """Where one image is: a file, or a box (left, top, right, bottom) in pixels of it."""

    path: Path
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Sample:
    """One observation of one identity by the three sensors.

    `sources` follow MODALITIES (rgb, nir, tir). `identity` is the number in the file name; `camera` is zero-based;
    `scene` is -1 where the benchmark has none.
    """

    name: str
    sources: tuple[ImageSource, ImageSource, ImageSource]
    identity: int
    camera: int
    scene: int = -1


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
