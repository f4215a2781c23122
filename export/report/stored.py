"""Stored results for the report, read strictly and without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...common.foreign_text import shown_text
from ...common.formats.json_files import parse_json
from ...common.records import record_of
from ...errors import ArtifactError
from ...runtime.bundle.artifact import AccuracyGate
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.checksums import PARITY
from ...runtime.bundle.tensors import EMBEDDING

T = TypeVar("T")


@dataclass(frozen=True)
class StoredSubset:
    """One set of sensors, as written from `export.parity.SubsetParity`."""

    sensors: str
    samples: int
    max_departure: float
    mean_departure: float
    max_difference: float
    rank_agreement: float
    constant: int
    not_finite: int


@dataclass(frozen=True)
class StoredStage:
    """One stage, as written from `export.trace.StageParity`."""

    stage: str
    max_departure: float
    max_difference: float
    departs: bool


@dataclass(frozen=True)
class StoredParity:
    """The export's gate: departures are distances to PyTorch (`measure`), `limit` the largest allowed."""

    precision: str
    limit: float
    images: str
    provider: str
    dim: int
    subsets: tuple[StoredSubset, ...]
    max_departure: float
    passed: bool
    stages: tuple[StoredStage, ...] = ()
    accuracy: AccuracyGate | None = None
    role: str = EMBEDDING
    measure: str = "1 - cosine"


def read_parity(bundle: Bundle) -> StoredParity:
    """Read a bundle's parity.json after comparing its hash.

    Raises:
        ArtifactError: not JSON, or not what the export writes.
    """
    path = bundle.folder / PARITY
    parity = strictly(StoredParity, _parsed(bundle.read(PARITY), path), path, "Export the bundle again.")
    if not parity.subsets or any(subset.samples < 1 for subset in parity.subsets):
        raise ArtifactError(f"{path} compares no samples. Export the bundle again.")
    return parity


def _parsed(content: bytes, path: Path) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read: {shown_text(error)}.") from error


def strictly(cls: type[T], value: object, path: Path, advice: str) -> T:
    """Build the dataclass `cls` from a JSON value.

    Raises:
        ArtifactError: fields that are unknown, missing or wrong; ends with `advice`.
    """
    return record_of(cls, value, f"{path} is not what mambapro writes. {advice}")
