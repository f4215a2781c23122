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

import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.files.atomic import hash_of
from ...common.files.locks import temporary_folder
from ...common.files.sealed_copy import SealedCopy, sealed_copy
from ...common.foreign_text import shown_text
from ...common.formats.json_files import parse_json
from ...errors import ArtifactError, InputError
from .artifact import Sidecar
from .catalog import add_artifact, built_artifacts, exported_model
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
from .folder import BundleFolder, open_folder
from .golden import Golden, parse_golden
from .metadata import BundleMetadata
from .metadata_parts import ONNXRUNTIME_OPS


@dataclass(frozen=True)
class Bundle:
    """Opened bundle, which reads its list, its metadata and its artifacts once.

    Attributes:
        folder: its path, for messages and for files written next to it.
        metadata: content of metadata.json.
        sums: every listed file's SHA-256.
        files: the handle for all reads.
        verify: whether hashes are compared.
    """

    folder: Path
    metadata: BundleMetadata
    sums: dict[str, str]
    files: BundleFolder = field(repr=False, compare=False)
    verify: bool = True
    _hashed: dict[str, tuple[object, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True) -> Bundle:
        """Read the metadata of the bundle in folder `path`.

        Only loaded files are hashed: the metadata here, the model on request (a few tenths of a second for 280 MB).
        `check_bundle` hashes everything. Files that SHA256SUMS does not list are never read, except checks.json. With
        `verify` false no hash is compared.

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
        files = open_folder(folder)
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
        """Return the content of a listed file after comparing its hash (unless opened with `verify` false).

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
        """Return the size of a listed file in bytes.

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
        """Yield a verified copy of a listed file under a path, for libraries that open files by name.

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
        """Yield a copy as `loadable`, under a path with the file's own name, in a temporary folder.

        Raises:
            ArtifactError, SetupError: as `loadable`.
        """
        with self.loadable(name) as copy, temporary_folder("copy") as folder:
            path = folder / Path(name).name
            path.symlink_to(copy.path)
            yield path

    def file(self, name: str) -> Path:
        """Return the path of a listed file, hashed once, for messages.

        Load the content by `read` or `loadable`, because another file may have taken the name when a path is opened
        again.

        Raises:
            ArtifactError: not listed, missing, changed, or a link out of the bundle.
        """
        self._require_listed(name)
        try:
            with self.files.open(name) as file:
                state = os.fstat(file.fileno())
                # ctime changes with every write and cannot be set
                key = (self.sums[name], state.st_dev, state.st_ino, state.st_size, state.st_ctime_ns)
                if self.verify and self._hashed.get(name) != key:
                    if hash_of(file) != self.sums[name]:
                        raise changed(self.files, self.sums, name)
                    self._hashed[name] = key
        except FileNotFoundError as error:
            raise gone(self.files, name) from error
        return self.folder / name

    def require_current(self) -> None:
        """Raise BundleReplacedError if the folder was replaced, or the list of files changed."""
        if not self.files.is_still_there() or read_sums(self.files) != self.sums:
            raise replaced(self.folder)

    def _require_listed(self, name: str) -> None:
        if name not in self.sums:
            raise ArtifactError(
                f"{shown_text(self.folder / SUMS)} does not list {shown_text(name)}, so it is not used."
            )

    def custom_operators(self) -> tuple[str, ...]:
        """Return shared libraries for ONNX Runtime. They are code: load them only on the caller's request."""
        return tuple(item.file for item in self.metadata.artifacts if item.target == ONNXRUNTIME_OPS)

    def golden(self) -> Golden:
        """Read golden.npz, verified.

        Raises:
            ArtifactError: unreadable, or not of the names, types and shapes in the metadata.
        """
        return parse_golden(self.read(GOLDEN, LARGEST_GOLDEN), self.folder / GOLDEN, self.metadata)

    @functools.cached_property
    def parity(self) -> Any:
        """Content of parity.json.

        Raises:
            ArtifactError: no JSON, or as `read`.
        """
        return _json_of(self.read(PARITY, LARGEST_TEXT), self.folder / PARITY)

    def parity_limit(self) -> float:
        """Return the largest allowed cosine distance (1 - cosine) between this model and PyTorch, from parity.json.

        Raises:
            ArtifactError: parity.json is unreadable or has no positive number `limit`.
        """
        limit = self.parity.get("limit") if isinstance(self.parity, dict) else None
        # an integer may be larger than any float
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= sys.float_info.max:
            raise ArtifactError(
                f"{shown_text(self.folder / PARITY)} must hold a positive number `limit`, not "
                f"{shown_text(repr(limit))}. Export the bundle again."
            )
        return float(limit)

    @functools.cached_property
    def base(self) -> Sidecar:
        """Exported model itself as an artifact.

        Raises:
            ArtifactError: the metadata list no model, or parity.json has no limit.
        """
        return exported_model(self)

    @property
    def artifacts(self) -> tuple[Sidecar, ...]:
        """The exported model, then every usable artifact built from it, by name, with the results of checks."""
        return (self.base, *self._built[0])

    @property
    def damaged(self) -> dict[str, ArtifactError]:
        """Errors of unusable artifacts by name; the others stay usable."""
        return self._built[1]

    @functools.cached_property
    def _built(self) -> tuple[tuple[Sidecar, ...], dict[str, ArtifactError]]:
        return built_artifacts(self)

    def forget_artifacts(self) -> None:
        """Read the artifacts again on the next access: checks.json has changed."""
        self.__dict__.pop("_built", None)

    def refresh(self) -> Bundle:
        """Open the bundle again in its current state; unchanged files need not be hashed again.

        Raises:
            InputError, ArtifactError: as `open`.
        """
        bundle = Bundle.open(self.folder, self.verify)
        bundle._hashed.update(self._hashed)
        return bundle

    def add(self, sidecar: Sidecar, files: Mapping[str, Path], *, overwrite: bool = True) -> Bundle:
        """Move an artifact's files into the bundle, see `add_artifact`; return the bundle with the artifact.

        Raises:
            InputError, SetupError, BundleReplacedError: as `add_artifact`.
        """
        add_artifact(self.folder, sidecar, files, overwrite=overwrite)
        return self.refresh()


def _json_of(content: bytes, path: Path) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise ArtifactError(
            f"{shown_text(path)} is not JSON: {shown_text(error)}. Copy or export the bundle again."
        ) from error
