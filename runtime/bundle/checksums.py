"""Names of a bundle's files, and their list SHA256SUMS in the format of `sha256sum -c`."""

from __future__ import annotations

import re
from pathlib import Path

from ...common.files.atomic import hash_of, is_partial
from ...common.files.litter import is_litter
from ...common.files.targets import BUNDLE_MARKS
from ...common.foreign_text import shown_text
from ...errors import ArtifactError, InputError
from .field_checks import check_file_name
from .folder import BundleFolder

MODEL, GOLDEN, PARITY = "model.onnx", "golden.npz", "parity.json"
METADATA, SUMS = BUNDLE_MARKS
REQUIRED = (MODEL, METADATA, GOLDEN, PARITY, SUMS)
#: The model card; older bundles have none.
CARD = "MODEL_CARD.md"
#: File that changes during use, not covered by signature and hashes.
CHECKS = "checks.json"
#: The signature of SHA256SUMS.
SIGNATURE = "SHA256SUMS.sig"

#: Largest sizes in bytes of the JSON files and SHA256SUMS, and of a model or an engine.
LARGEST_TEXT, LARGEST_FILE = 1 << 20, 8 << 30
#: Bytes of golden.npz, as it lies on the disk and unpacked.
LARGEST_GOLDEN = 256 << 20
_MOST_LINES = 10_000

_SUMS_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class BundleReplacedError(ArtifactError):
    """Error of a bundle that was replaced or rebuilt while it was read; opening it again gives the new one."""


def write_sums(folder: Path) -> Path:
    """Write SHA256SUMS over every other file of a bundle; return its path.

    Raises:
        ArtifactError: a link out of the folder, or an invalid name.
    """
    files, sums = BundleFolder(folder), {}
    for name in files_below(files):
        _check_name(folder, name)
        with files.open(name) as file:
            sums[name] = hash_of(file)
    path = folder / SUMS
    path.write_text(sums_text(sums), encoding="utf-8", newline="\n")
    return path


def sums_text(sums: dict[str, str]) -> str:
    """Return the content of SHA256SUMS, sorted by name."""
    return "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))


def files_below(folder: BundleFolder | Path) -> list[str]:
    """Return the files that SHA256SUMS should list: all but itself and machine-specific ones."""
    return [name for name in _held(folder).files() if not _is_nobodys(name)]


def read_sums(folder: BundleFolder | Path) -> dict[str, str]:
    """Return SHA256SUMS as name -> hash.

    Raises:
        ArtifactError: missing, or invalid lines.
    """
    files = _held(folder)
    path = files.path / SUMS
    try:
        lines = files.read(SUMS, LARGEST_TEXT).decode("utf-8").replace("\r\n", "\n").split("\n")
    except FileNotFoundError as error:
        raise gone(files, SUMS) from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{shown_text(path)} is not text: {error}. Copy or export the bundle again.") from error
    if len(lines) > _MOST_LINES:
        raise ArtifactError(f"{shown_text(path)} has {len(lines):,} lines; a bundle has at most {_MOST_LINES:,} files.")
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            break
        match = _SUMS_LINE.fullmatch(line)
        if match is None or match[2] in sums or match[2] == SUMS:
            raise ArtifactError(
                f"{shown_text(path)}, line {number} is not '<sha256>  <file name>', each file once: "
                f"'{shown_text(line, 100)}'."
            )
        _check_name(path, match[2], f", line {number}")
        sums[match[2]] = match[1]
    return sums


def _is_nobodys(name: str) -> bool:
    # a folder of a killed process is removed by the next writer
    return name in (SUMS, CHECKS, SIGNATURE) or is_litter(name) or is_partial(name.split("/")[0])


def _held(folder: BundleFolder | Path) -> BundleFolder:
    return folder if isinstance(folder, BundleFolder) else BundleFolder(folder)


def _check_name(where: Path, name: str, line: str = "") -> None:
    try:
        check_file_name(name)
    except InputError as error:
        raise ArtifactError(f"{shown_text(where)}{line}: {error}") from error


def gone(files: BundleFolder, name: str) -> ArtifactError:
    """Return the error for a missing file: it never existed, or the bundle was replaced."""
    if not files.is_still_there():
        return replaced(files.path)
    return ArtifactError(
        f"{shown_text(files.path / name)} is missing, but {SUMS} lists it. Copy or export the bundle again."
    )


def changed(files: BundleFolder, sums: dict[str, str], name: str) -> ArtifactError:
    """Return the error for a differing hash: the list was replaced, or the file was changed."""
    if not files.is_still_there() or read_sums(files) != sums:
        return replaced(files.path)
    return ArtifactError(
        f"{shown_text(files.path / name)} is not the file that was exported: its SHA-256 differs. "
        "Copy or export it again."
    )


def replaced(folder: Path) -> BundleReplacedError:
    """Return the error for a bundle that was replaced during opening."""
    return BundleReplacedError(
        f"{shown_text(folder)} was replaced or rebuilt while it was being read. Try again: the new one is whole."
    )
