"""Stored result of one run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ....common.files.atomic import json_text, write_atomically
from ....common.foreign_text import shown_text
from ....common.formats.json_files import read_json
from ....common.records import decode
from ....errors import ArtifactError
from ....runtime.data.sample import Benchmark

#: Version of the file's layout; others are not read.
VERSION = 1
#: Bytes of a file: some thousand queries with one number each.
_LARGEST_FILE = 8 * 2**20


@dataclass(frozen=True)
class Record:
    """One row trained with one seed. Accuracies are fractions 0..1, `per_query_ap` one value for each query.

    `trainable` counts the values that the training moved, `seconds` is the training's time (0 without one).
    """

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

    def write(self, path: Path) -> None:
        """Save as JSON; replaces an existing file.

        Raises:
            SetupError: the disk is full or permission is missing.
        """
        text = json_text({"version": VERSION, **asdict(self)})
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_record(path: Path) -> Record:
    """Read the record of a file.

    Raises:
        ArtifactError: not a record of this version.
    """
    try:
        values = read_json(path, "result", limit=_LARGEST_FILE)
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise ValueError("another version")
        return decode(Record, values)
    except (ValueError, ArtifactError) as error:
        raise ArtifactError(
            f"{shown_text(path)} is no result of this version ({shown_text(error, 500)}). Remove it, and its row runs "
            "again."
        ) from error


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
