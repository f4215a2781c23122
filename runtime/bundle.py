"""A bundle on disk: the folder that export writes and every runtime reads.

| file | content |
|---|---|
| model.onnx | the model |
| metadata.json | what it is, see `metadata.py` |
| golden.npz | inputs and PyTorch's outputs, see `Golden` |
| parity.json | the report of the parity gate; `limit` is the largest 1 - cosine allowed |
| `<target>-<precision>.*` | artifacts built from the model: see `artifacts.py` and `sidecar.py` |
| SHA256SUMS | `<sha256>  <name>` of every other file, as `sha256sum -c` reads it |
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, InputError
from .files import is_partial, sha256_of
from .metadata import ONNXRUNTIME_OPS, BundleMetadata, TensorInfo, check_file_name
from .targets import BUNDLE_MARKS

MODEL, GOLDEN, PARITY = "model.onnx", "golden.npz", "parity.json"
METADATA, SUMS = BUNDLE_MARKS
REQUIRED = (MODEL, METADATA, GOLDEN, PARITY, SUMS)

_SUMS_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class Golden:
    """Inputs by name (the first axis is the sample) and PyTorch's outputs by name, of equal length."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `sums` maps every listed file to its SHA-256; `verify` says whether `file` compares it."""

    folder: Path
    metadata: BundleMetadata
    sums: dict[str, str]
    verify: bool = True

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True) -> Bundle:
        """Read the metadata of the bundle in folder `path`.

        Only what is loaded is hashed: the metadata here, the model when it is asked for (a few tenths of a second for
        280 MB). `check_bundle` hashes everything. Files that SHA256SUMS does not list are never read. With `verify`
        false nothing is hashed.

        Raises:
            InputError: `path` is not a folder.
            ArtifactError: a file is missing, changed, a link out of the bundle, or of a newer schema.
        """
        folder = Path(path)
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {what}. A bundle is the folder that mambapro-export wrote.")
        missing = [name for name in REQUIRED if not os.path.lexists(folder / name)]
        if missing:
            if len(missing) == len(REQUIRED):
                raise ArtifactError(f"{folder} is not a bundle: it holds none of {', '.join(REQUIRED)}.")
            raise ArtifactError(f"{folder} is not a complete bundle: {', '.join(missing)} missing. Export it again.")
        sums = read_sums(folder)
        unlisted = [name for name in REQUIRED if name not in sums and name != SUMS]
        if unlisted:
            raise ArtifactError(f"{folder / SUMS} does not list {', '.join(unlisted)}. Export the bundle again.")
        content = _inside(folder, METADATA).read_bytes()
        if verify and hashlib.sha256(content).hexdigest() != sums[METADATA]:
            raise _changed(folder / METADATA)
        return cls(folder, BundleMetadata.from_json(_json_of(content, folder / METADATA)), sums, verify)

    def file(self, name: str) -> Path:
        """Path of a listed file, after comparing its hash (unless opened with `verify` false).

        Raises:
            ArtifactError: not listed, missing, changed, or a link out of the bundle.
        """
        if name not in self.sums:
            raise ArtifactError(f"{self.folder / SUMS} does not list {name}, so it is not used.")
        path = _inside(self.folder, name)
        if self.verify and sha256_of(path) != self.sums[name]:
            raise _changed(path)
        return path

    def custom_operators(self) -> tuple[Path, ...]:
        """Shared libraries for ONNX Runtime, verified. They are code: load them only when the caller asked for it."""
        return tuple(self.file(item.file) for item in self.metadata.artifacts if item.target == ONNXRUNTIME_OPS)

    def golden(self) -> Golden:
        """Read golden.npz, verified.

        Raises:
            ArtifactError: unreadable, or not of the names, types and shapes in the metadata.
        """
        path = self.file(GOLDEN)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                inputs = {tensor.name: arrays[tensor.name] for tensor in self.metadata.inputs}
                outputs = {tensor.name: arrays[tensor.name] for tensor in self.metadata.outputs}
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise ArtifactError(f"{path} cannot be read: {error}. Export the bundle again.") from error
        samples = len(inputs[self.metadata.inputs[0].name]) if inputs[self.metadata.inputs[0].name].ndim else 0
        for tensor in (*self.metadata.inputs, *self.metadata.outputs):
            _check_golden(path, tensor, {**inputs, **outputs}[tensor.name], samples)
        return Golden(inputs, outputs)

    def parity_limit(self) -> float:
        """The largest 1 - cosine allowed between this model and PyTorch, from parity.json.

        Raises:
            ArtifactError: parity.json is unreadable or has no positive number `limit`.
        """
        path = self.file(PARITY)
        content = _json_of(path.read_bytes(), path)
        limit = content.get("limit") if isinstance(content, dict) else None
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise ArtifactError(f"{path} must hold a positive number `limit`, not {limit!r}. Export the bundle again.")
        return float(limit)


def write_sums(folder: Path) -> Path:
    """Write SHA256SUMS over every other file below `folder`; returns its path.

    Raises:
        ArtifactError: a link out of the folder, or a name that a bundle may not have.
    """
    sums = {name: sha256_of(_inside(folder, name)) for name in files_below(folder)}
    path = folder / SUMS
    path.write_text(sums_text(sums), encoding="utf-8", newline="\n")
    return path


def sums_text(sums: dict[str, str]) -> str:
    """The content of SHA256SUMS, sorted by name."""
    return "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))


def files_below(folder: Path) -> list[str]:
    """Names, relative with forward slashes and sorted, of everything below `folder` but folders and SHA256SUMS."""
    return sorted(set(_walk(folder, "")) - {SUMS})


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if not prefix and is_partial(entry.name):
                # left by a killed process, swept by the next that writes here
                continue
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


def _inside(folder: Path, name: str) -> Path:
    try:
        check_file_name(name)
    except InputError as error:
        raise ArtifactError(f"{folder}: {error}") from error
    path = folder / name
    if not os.path.lexists(path):
        raise ArtifactError(f"{path} is missing, but {SUMS} lists it. Copy or export the bundle again.")
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ArtifactError(f"{path} is a link in a circle. Copy or export the bundle again.") from error
    if not real.is_relative_to(folder.resolve()):
        raise ArtifactError(f"{path} is a link to a place outside the bundle, which is never followed.")
    if not path.is_file():
        raise ArtifactError(f"{path} is not a regular file. Copy or export the bundle again.")
    return path


def _changed(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} is not the file that was exported: its SHA-256 differs. Copy or export it again.")


def read_sums(folder: Path) -> dict[str, str]:
    """SHA256SUMS as name -> hash.

    Raises:
        ArtifactError: missing, or lines that are none of `sha256sum`'s.
    """
    path = _inside(folder, SUMS)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not text: {error}. Copy or export the bundle again.") from error
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            break
        match = _SUMS_LINE.fullmatch(line)
        if match is None or match[2] in sums or match[2] == SUMS:
            raise ArtifactError(
                f"{path}, line {number} is not '<sha256>  <file name>', each file once: {line[:100]!r}."
            )
        try:
            check_file_name(match[2])
        except InputError as error:
            raise ArtifactError(f"{path}, line {number}: {error}") from error
        sums[match[2]] = match[1]
    return sums


def _json_of(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}. Copy or export the bundle again.") from error


def _check_golden(path: Path, tensor: TensorInfo, array: np.ndarray, samples: int) -> None:
    right = array.dtype == tensor.dtype and array.ndim == len(tensor.shape) and array.shape[1:] == tensor.shape[1:]
    if not right or len(array) != samples or samples == 0:
        raise ArtifactError(
            f"{path}: {tensor.name} is {array.dtype} {array.shape}, which does not fit {tensor.dtype} "
            f"{list(tensor.shape)} of the metadata and {samples} samples. Export the bundle again."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactError(f"{path}: {tensor.name} holds values that are not finite. Export the bundle again.")
