"""The folder that a sensitivity analysis wrote: its ranking, its curve, its choice, its two pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.foreign_text import escaped
from ...common.records import encode
from ...errors import ArtifactError, InputError
from ...runtime.data.image_files import image_size, open_image
from .stored import json_of, strictly

RANKING, PARETO = "ranking.json", "pareto.json"
PICTURES = ("ranking.png", "pareto.png")
POLICY = "policy.toml"

_ADVICE = "Run the sensitivity analysis again, or leave --sensitivity out."
#: Pixels of a picture, and bytes of a file, beyond which it is none of ours.
_MOST_PIXELS = 40_000_000
_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class StoredLoss:
    """What layers in int8 cost: 1 - cosine over the samples, the standard error of its mean, and the drop of mAP."""

    mean: float
    median: float
    largest: float
    error: float
    map_drop: float | None


@dataclass(frozen=True)
class StoredEntry:
    """A layer or group of layers alone in int8, and its multiplications per sample."""

    name: str
    modules: tuple[str, ...]
    loss: StoredLoss
    work: int


@dataclass(frozen=True)
class StoredRanking:
    """Layers, the most expensive first. `map` is the float model's, on the `queries` that count under the rule `junk`;
    `key` holds hashes of what was measured."""

    entries: tuple[StoredEntry, ...]
    grouping: str
    samples: int
    queries: int
    junk: str
    map: float | None
    key: dict[str, Any]


@dataclass(frozen=True)
class StoredPoint:
    """A choice: `floats` are in floating point, all others in int8, which is `share` of the multiplications. `front`:
    no other is faster and loses less."""

    floats: tuple[str, ...]
    share: float
    loss: StoredLoss
    milliseconds: float
    front: bool


@dataclass(frozen=True)
class StoredLimits:
    """What a choice may cost: a drop of mAP, a fraction, and 1 - cosine."""

    map_drop: float
    departure: float


@dataclass(frozen=True)
class StoredPareto:
    """Choices from all in int8 to all in floating point, timed in `target`; `chosen` is the number of one."""

    points: tuple[StoredPoint, ...]
    chosen: int
    limits: StoredLimits
    target: str
    batch: int
    order: tuple[str, ...]
    map: float | None
    key: dict[str, Any]


@dataclass(frozen=True)
class Sensitivity:
    """An analysis. `pictures` are PNG files by name, `policy` is the TOML of its choice."""

    folder: str
    ranking: StoredRanking
    pareto: StoredPareto
    policy: str
    pictures: dict[str, bytes]

    @property
    def model(self) -> str | None:
        """SHA-256 of the ONNX file that was analysed, if it says."""
        found = self.ranking.key.get("model")
        return found if isinstance(found, str) else None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the pictures."""
        ranking, pareto = encode(self.ranking), encode(self.pareto)
        return {"folder": self.folder, "ranking": ranking, "pareto": pareto, "policy": self.policy}


def read_sensitivity(folder: Path) -> Sensitivity:
    """Read and check the output folder of a sensitivity analysis.

    Raises:
        InputError: not a folder.
        ArtifactError: a file is missing, damaged, or not what the analysis writes.
    """
    if not folder.is_dir():
        raise InputError(f"{escaped(folder)} is not a folder. --sensitivity takes the folder that the analysis wrote.")
    missing = [name for name in (RANKING, PARETO, POLICY, *PICTURES) if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{escaped(folder)} is not a finished sensitivity analysis: {', '.join(missing)} missing. {_ADVICE}"
        )
    ranking = strictly(StoredRanking, json_of(folder / RANKING), folder / RANKING, _ADVICE)
    pareto = strictly(StoredPareto, json_of(folder / PARETO), folder / PARETO, _ADVICE)
    if not ranking.entries or not 0 <= pareto.chosen < len(pareto.points) or ranking.key != pareto.key:
        raise ArtifactError(f"{RANKING} and {PARETO} of {escaped(folder)} are empty, or not of one analysis. {_ADVICE}")
    pictures = {name: _picture(folder / name) for name in PICTURES}
    return Sensitivity(folder.resolve().name, ranking, pareto, _text(folder / POLICY), pictures)


def _picture(path: Path) -> bytes:
    """A PNG that decodes."""
    content = _content(path)
    try:
        width, height = image_size(content)
        if width * height > _MOST_PIXELS:
            raise ArtifactError(f"{escaped(path)} has {width} x {height} pixels, too many for a page. {_ADVICE}")
        kind = open_image(content).format
    except InputError as error:
        raise ArtifactError(f"{escaped(path)} is not a PNG picture: {error} {_ADVICE}") from error
    if kind != "PNG":
        raise ArtifactError(f"{escaped(path)} is not a PNG picture but {kind}. {_ADVICE}")
    return content


def _text(path: Path) -> str:
    try:
        return _content(path).decode()
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{escaped(path)} is not text: {error}. {_ADVICE}") from error


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ArtifactError(f"{escaped(path)} has {size / 1e6:.1f} MB, too much for a page. {_ADVICE}")
    return path.read_bytes()
