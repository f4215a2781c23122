"""Output folder of a sensitivity analysis: ranking, curve, policy and two pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ...calib.sensitivity.pareto import Pareto
from ...calib.sensitivity.ranking import Ranking
from ...common.foreign_text import escaped
from ...common.formats.json_files import read_json
from ...common.records import NOT_STORED, Report, encode, record_of
from ...errors import ArtifactError, InputError
from ...runtime.data.image_files import image_size, open_image

T = TypeVar("T")

RANKING, PARETO = "ranking.json", "pareto.json"
PICTURES = ("ranking.png", "pareto.png")
POLICY = "policy.toml"

_ADVICE = "Run the sensitivity analysis again, or leave --sensitivity out."
#: Largest pictures in pixels, and files in bytes.
_MOST_PIXELS = 40_000_000
_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class Analysis(Report):
    """Sensitivity analysis. `pictures` are PNG files by name, `policy` is the TOML of its choice."""

    folder: str
    ranking: Ranking
    pareto: Pareto
    policy: str
    pictures: dict[str, bytes] = field(metadata=NOT_STORED)

    @property
    def model(self) -> str | None:
        """SHA-256 of the analyzed ONNX file, if known."""
        digest = self.ranking.key.get("model")
        return digest if isinstance(digest, str) else None


def read_sensitivity(folder: Path) -> Analysis:
    """Read and check the output folder of a sensitivity analysis.

    Raises:
        InputError: not a folder.
        ArtifactError: a file is missing, damaged, or not of the analysis.
    """
    if not folder.is_dir():
        raise InputError(f"{escaped(folder)} is not a folder. --sensitivity takes the folder that the analysis wrote.")
    missing = [name for name in (RANKING, PARETO, POLICY, *PICTURES) if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{escaped(folder)} is not a finished sensitivity analysis: {', '.join(missing)} missing. {_ADVICE}"
        )
    ranking, pareto = _record(Ranking, folder / RANKING), _record(Pareto, folder / PARETO)
    if not ranking.entries or not 0 <= pareto.chosen < len(pareto.points) or ranking.key != pareto.key:
        raise ArtifactError(f"{RANKING} and {PARETO} of {escaped(folder)} are empty, or not of one analysis. {_ADVICE}")
    pictures = {name: _picture(folder / name) for name in PICTURES}
    return Analysis(folder.resolve().name, ranking, pareto, _text(folder / POLICY), pictures)


def _record(cls: type[T], path: Path) -> T:
    failure, value = f"{path} is not what mambapro writes. {_ADVICE}", read_json(path)
    try:
        record = record_of(cls, value, failure)
    except InputError as error:
        # limits that no command would accept
        raise ArtifactError(f"{failure}\n  {error}") from error
    # fields with a default are written too
    if encode(record) != value:
        raise ArtifactError(f"{failure}\n  fields are missing")
    return record


def _picture(path: Path) -> bytes:
    """Return a PNG that can be decoded."""
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
