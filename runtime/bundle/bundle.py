"""A bundle on disk: the folder that export writes and every runtime reads.

| file | content |
|---|---|
| model.onnx | the model |
| metadata.json | what it is, see `metadata.py` |
| golden.npz | inputs and PyTorch's outputs, see `Golden` |
| parity.json | the report of the parity gate; `limit` is the largest 1 - cosine allowed |
| `<target>-<precision>.*` | artifacts built from the model: see `artifacts.py` and `sidecar.py` |
| SHA256SUMS | `<sha256>  <name>` of every other file, as `sha256sum -c` reads it |
| checks.json | what `mambapro check` found here: it changes, so SHA256SUMS does not list it, see `check_record.py` |

One opening is of one folder: everything is read through the handle of the folder that was opened, and what was hashed
is what is loaded.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...common.files.atomic import hash_of
from ...common.files.locks import temporary_folder
from ...common.files.sealed_copy import SealedCopy, sealed_copy
from ...common.foreign_text import escaped, shown_text
from ...common.formats.json_files import parse_json
from ...common.formats.npz_files import npz_arrays
from ...errors import ArtifactError, InputError
from .checksums import (
    GOLDEN,
    LARGEST_FILE,
    LARGEST_GOLDEN,
    LARGEST_TEXT,
    METADATA,
    PARITY,
    REQUIRED,
    SUMS,
    changed,
    gone,
    read_sums,
    replaced,
)
from .folder import BundleFolder
from .metadata import ONNXRUNTIME_OPS, BundleMetadata, TensorInfo

#: Arrays in golden.npz.
_MOST_GOLDEN = 64


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
    """An opened bundle.

    Attributes:
        folder: its path, for messages and for what is written beside it.
        metadata: what it says of itself.
        sums: every listed file's SHA-256.
        files: the handle that everything is read through.
        verify: whether hashes are compared.
    """

    folder: Path
    metadata: BundleMetadata
    sums: dict[str, str]
    files: BundleFolder = field(repr=False, compare=False)
    verify: bool = True

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True) -> Bundle:
        """Read the metadata of the bundle in folder `path`.

        Only what is loaded is hashed: the metadata here, the model when it is asked for (a few tenths of a second for
        280 MB). `check_bundle` hashes everything. Files that SHA256SUMS does not list are never read, but for
        checks.json. With `verify` false no hash is compared.

        Raises:
            InputError: `path` is not a folder, or may not be entered.
            ArtifactError: a file is missing, changed, a link out of the bundle, or of a newer schema.
        """
        try:
            folder = Path(path)
        except TypeError as error:
            raise InputError(
                f"A bundle is given by the path of its folder, not by {shown_text(repr(path))}."
            ) from error
        files = _folder_of(folder)
        missing = [name for name in REQUIRED if not files.has(name)]
        if missing:
            if not files.is_still_there():
                raise replaced(files.path)
            if len(missing) == len(REQUIRED):
                raise ArtifactError(
                    f"{shown_text(files.path)} is not a bundle: it holds none of {', '.join(REQUIRED)}."
                )
            raise ArtifactError(
                f"{shown_text(files.path)} is not a complete bundle: {', '.join(missing)} missing. Export it again."
            )
        sums = read_sums(files)
        unlisted = [name for name in REQUIRED if name not in sums and name != SUMS]
        if unlisted:
            raise ArtifactError(
                f"{shown_text(files.path / SUMS)} does not list {', '.join(unlisted)}. Export the bundle again."
            )
        try:
            content = files.read(METADATA, LARGEST_TEXT)
        except FileNotFoundError as error:
            raise gone(files, METADATA) from error
        if verify and hashlib.sha256(content).hexdigest() != sums[METADATA]:
            raise changed(files, sums, METADATA)
        metadata = BundleMetadata.from_json(_json_of(content, files.path / METADATA))
        return cls(files.path, metadata, sums, files, verify)

    def read(self, name: str, limit: int = LARGEST_FILE) -> bytes:
        """The content of a listed file, its hash compared (unless opened with `verify` false).

        Raises:
            ArtifactError: not listed, missing, changed, larger than `limit` bytes, or a link out of the bundle.
        """
        self._require_listed(name)
        try:
            content = self.files.read(name, limit)
        except FileNotFoundError as error:
            raise gone(self.files, name) from error
        if self.verify and hashlib.sha256(content).hexdigest() != self.sums[name]:
            raise changed(self.files, self.sums, name)
        return content

    def size(self, name: str) -> int:
        """Bytes of a listed file, whatever is in them.

        Raises:
            ArtifactError: not listed, missing, or a link out of the bundle.
        """
        self._require_listed(name)
        try:
            return self.files.size(name)
        except FileNotFoundError as error:
            raise gone(self.files, name) from error

    @contextmanager
    def loadable(self, name: str) -> Iterator[SealedCopy]:
        """A listed file under a path for libraries that open files by name; what they read there is what was hashed.

        Raises:
            ArtifactError: as `read`.
            SetupError: no memory for the copy.
        """
        self._require_listed(name)
        try:
            source = self.files.open(name)
            with source as file, sealed_copy(file, Path(name).suffix) as copy:
                if self.verify and copy.sha256 != self.sums[name]:
                    raise changed(self.files, self.sums, name)
                yield copy
        except FileNotFoundError as error:
            raise gone(self.files, name) from error

    @contextmanager
    def named_copy(self, name: str) -> Iterator[Path]:
        """As `loadable`, under a path that ends in the file's own name; needs a temporary folder that can be written.

        Raises:
            ArtifactError, SetupError: as `loadable`.
        """
        with self.loadable(name) as copy, temporary_folder("copy") as folder:
            path = folder / Path(name).name
            path.symlink_to(copy.path)
            yield path

    def file(self, name: str) -> Path:
        """Path of a listed file, after comparing its hash; for messages. What is loaded comes from `read` or
        `loadable`, because another file may have taken the name by the time that a path is opened again.

        Raises:
            ArtifactError: not listed, missing, changed, or a link out of the bundle.
        """
        self._require_listed(name)
        try:
            with self.files.open(name) as file:
                if self.verify and hash_of(file) != self.sums[name]:
                    raise changed(self.files, self.sums, name)
        except FileNotFoundError as error:
            raise gone(self.files, name) from error
        return self.folder / name

    def require_current(self) -> None:
        """Raise BundleReplacedError where another bundle has taken the place, or the files that are listed changed."""
        if not self.files.is_still_there() or read_sums(self.files) != self.sums:
            raise replaced(self.folder)

    def _require_listed(self, name: str) -> None:
        if name not in self.sums:
            raise ArtifactError(
                f"{shown_text(self.folder / SUMS)} does not list {shown_text(name)}, so it is not used."
            )

    def custom_operators(self) -> tuple[str, ...]:
        """Shared libraries for ONNX Runtime. They are code: load them only when the caller asked for it."""
        return tuple(item.file for item in self.metadata.artifacts if item.target == ONNXRUNTIME_OPS)

    def golden(self) -> Golden:
        """Read golden.npz, verified.

        Raises:
            ArtifactError: unreadable, or not of the names, types and shapes in the metadata.
        """
        path = self.folder / GOLDEN
        content = io.BytesIO(self.read(GOLDEN, LARGEST_GOLDEN))
        arrays = npz_arrays(content, path, "file of goldens", content=LARGEST_GOLDEN, members=_MOST_GOLDEN)
        if absent := [t.name for t in (*self.metadata.inputs, *self.metadata.outputs) if t.name not in arrays]:
            raise ArtifactError(
                f"The file of goldens {shown_text(path)} cannot be read: it has no array "
                f"{shown_text(', '.join(absent))}. Export the bundle again."
            )
        inputs = {tensor.name: arrays[tensor.name] for tensor in self.metadata.inputs}
        outputs = {tensor.name: arrays[tensor.name] for tensor in self.metadata.outputs}
        samples = len(inputs[self.metadata.inputs[0].name]) if inputs[self.metadata.inputs[0].name].ndim else 0
        for tensor in (*self.metadata.inputs, *self.metadata.outputs):
            _check_golden(path, tensor, {**inputs, **outputs}[tensor.name], samples)
        return Golden(inputs, outputs)

    def parity_limit(self) -> float:
        """The largest 1 - cosine allowed between this model and PyTorch, from parity.json.

        Raises:
            ArtifactError: parity.json is unreadable or has no positive number `limit`.
        """
        path = self.folder / PARITY
        content = _json_of(self.read(PARITY, LARGEST_TEXT), path)
        limit = content.get("limit") if isinstance(content, dict) else None
        # a whole number may be larger than any float
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= sys.float_info.max:
            raise ArtifactError(
                f"{shown_text(path)} must hold a positive number `limit`, not {shown_text(repr(limit))}. "
                "Export the bundle again."
            )
        return float(limit)


def _folder_of(folder: Path) -> BundleFolder:
    advice = "A bundle is the folder that mambapro-export wrote."
    try:
        files = BundleFolder(folder)
        files.has(SUMS)
        # a folder that may be listed but not entered holds nothing for us
        os.stat(".", dir_fd=files.handle)
    except FileNotFoundError as error:
        raise InputError(f"{shown_text(folder)} does not exist. {advice}") from error
    except NotADirectoryError as error:
        raise InputError(f"{shown_text(folder)} is a file, not a folder. {advice}") from error
    except PermissionError as error:
        raise InputError(
            f"{shown_text(folder)} may not be entered: {error.strerror}. It needs the permissions r and x for you "
            "(chmod u+rx)."
        ) from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the name
        raise InputError(f"{shown_text(folder)} cannot be opened: {error}. {advice}") from error
    return files


def _json_of(content: bytes, path: Path) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise ArtifactError(
            f"{shown_text(path)} is not JSON: {shown_text(error)}. Copy or export the bundle again."
        ) from error


def _check_golden(path: Path, tensor: TensorInfo, array: np.ndarray, samples: int) -> None:
    right = array.dtype == tensor.dtype and array.ndim == len(tensor.shape) and array.shape[1:] == tensor.shape[1:]
    if not right or len(array) != samples or samples == 0:
        raise ArtifactError(
            f"{escaped(path)}: {escaped(tensor.name)} is {array.dtype} {array.shape}, which does not fit "
            f"{tensor.dtype} "
            f"{list(tensor.shape)} of the metadata and {samples} samples. Export the bundle again."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactError(
            f"{escaped(path)}: {escaped(tensor.name)} holds values that are not finite. Export the bundle again."
        )
