"""Stored result of one run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ....runtime.data.sample import Benchmark


@dataclass(frozen=True)
class Record:
    """One row trained with one seed. Accuracies are fractions 0..1, `per_query_ap` one value for each query.

    `trainable` counts the values that the training moved, `seconds` is the training's time (0 without one).
    """

    #: some thousand queries with one number each
    largest_file: ClassVar[int] = 8 * 2**20

    fingerprint: str
    row: str
    seed: int
    trainable: int
    seconds: float
    map: float
    rank1: float
    rank5: float
    rank10: float
    minp: float
    per_query_ap: tuple[float, ...]


def fingerprint(settings: dict[str, Any]) -> str:
    """Return a hash of the settings that affect a run's result."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def data_fingerprint(benchmark: Benchmark) -> str:
    """Return a hash of a benchmark: its samples, their labels, and the size of every image file."""
    digest = hashlib.sha256(benchmark.name.encode())
    sizes: dict[Path, int] = {}
    for part in (benchmark.train, benchmark.query, benchmark.gallery):
        for sample in part:
            for source in sample.sources.values():
                if source.path not in sizes:
                    sizes[source.path] = source.path.stat().st_size
            lengths = [sizes[source.path] for source in sample.sources.values()]
            digest.update(f"{sample.name} {sample.identity} {sample.camera} {sample.scene} {lengths}\n".encode())
        digest.update(b"--\n")
    return digest.hexdigest()[:16]
