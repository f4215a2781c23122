"""Measurement set of a sensitivity analysis: several samples of each identity, so that mAP can be measured."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.data.sample import Benchmark, Sample
from ..batches import Feeds
from ..images import CalibrationImages, sample_hashes
from .staged_model import Values

#: Samples that go through a segment at once.
BATCH = 8
#: Images of one identity: as many as a gallery usually has, and enough identities in a hundred samples.
PER_IDENTITY = 4


@dataclass(frozen=True)
class Material:
    """Measurement set of N samples.

    Attributes:
        feeds: the graph's inputs by name, each of N samples.
        identities: of the samples; negative = unknown.
        groups: cameras or scenes of the samples, as the benchmark's rule wants.
        junk: the rule, "camera" or "scene"; None for a plain folder.
        sha256: of what the samples are.
    """

    feeds: Mapping[str, np.ndarray]
    identities: tuple[int, ...]
    groups: tuple[int, ...]
    junk: str | None
    sha256: str

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in (*self.feeds.items(), ("groups", self.groups))}
        if set(lengths.values()) != {self.samples} or not self.samples:
            raise InputError(f"There are {self.samples} identities, but {lengths}; all must be equal, and above 0.")

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.identities)

    def batches(self) -> list[Values]:
        """Return the inputs, BATCH samples at a time."""
        starts = range(0, self.samples, BATCH)
        return [{name: value[start : start + BATCH] for name, value in self.feeds.items()} for start in starts]

    def first(self, count: int | None) -> Material:
        """Return the first `count` samples; None = all."""
        if count is None or count >= self.samples:
            return self
        feeds = {name: value[:count] for name, value in self.feeds.items()}
        return Material(feeds, self.identities[:count], self.groups[:count], self.junk, f"{self.sha256} {count}")


def folder_material(chosen: CalibrationImages, metadata: BundleMetadata, count: int, track: Track = silent) -> Material:
    """Return the first `count` calibration images of a plain folder, without identities and so without mAP.

    Raises:
        InputError: an image that cannot be read.
    """
    images = chosen.images[:count]
    unknown = (-1,) * len(images)
    sha256 = hashlib.sha256(f"{chosen.sha256} {len(images)}".encode()).hexdigest()
    return Material(_loaded(images, metadata, track), unknown, unknown, None, sha256)


def benchmark_material(
    benchmark: Benchmark, metadata: BundleMetadata, count: int, seed: int = 0, track: Track = silent
) -> Material:
    """Return `count` samples of the training split, chosen by `by_identity`.

    Raises:
        InputError: an image that cannot be read.
    """
    samples = by_identity(benchmark, count, seed)
    identities = tuple(sample.identity for sample in samples)
    groups = tuple(getattr(sample, benchmark.junk) for sample in samples)
    hashes = tuple(sample_hashes(sample) for sample in track(samples, "Hashing images", len(samples)))
    content = CalibrationImages(tuple(samples), (), hashes, len(benchmark.train), benchmark.name).sha256
    sha256 = hashlib.sha256(f"{content} {identities} {groups}".encode()).hexdigest()
    return Material(_loaded(samples, metadata, track), identities, groups, benchmark.junk, sha256)


def by_identity(benchmark: Benchmark, count: int, seed: int) -> list[Sample]:
    """Choose samples of the training split: identity after identity, at most PER_IDENTITY of each, cameras in turns.

    The order is drawn from the seed and the names, so it is the same on every machine.
    """
    identities: dict[int, list[Sample]] = {}
    for sample in sorted(benchmark.train, key=lambda sample: _draw(seed, sample.name)):
        identities.setdefault(sample.identity, []).append(sample)
    chosen: list[Sample] = []
    for identity in sorted(identities, key=lambda identity: _draw(seed, str(identity))):
        seen: Counter[int] = Counter()
        left = identities[identity]
        for _ in range(min(PER_IDENTITY, len(left), count - len(chosen))):
            best = min(left, key=lambda sample: seen[getattr(sample, benchmark.junk)])
            left.remove(best)
            seen[getattr(best, benchmark.junk)] += 1
            chosen.append(best)
    return chosen


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _loaded(images: Sequence[Sample], metadata: BundleMetadata, track: Track) -> dict[str, np.ndarray]:
    if metadata.batch is not None:
        raise InputError(
            f"The model has a fixed batch of {metadata.batch}; sensitivity needs one of dynamic batch. Export it anew."
        )
    batches = Feeds(images, metadata, BATCH)
    parts = list(track(batches, "Reading images", len(batches)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
