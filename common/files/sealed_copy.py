"""Immutable copies of files for libraries that open files by name, hashed while copying."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import SetupError
from .locks import temporary_folder

_BLOCK = 1 << 20


@dataclass(frozen=True)
class SealedCopy:
    """Immutable file: `path` while the copy is open, the hash of its bytes, and their number."""

    path: Path
    sha256: str
    size: int


@contextmanager
def sealed_copy(source: BinaryIO, suffix: str = "") -> Iterator[SealedCopy]:
    """Yield a copy of `source` under a path for libraries that load by name; removed afterwards.

    On Linux it is memory sealed by the kernel. Elsewhere it is a file in a private folder of this user. The hash is
    that of the bytes the library reads: a file that changes while it is read, or is replaced between check and use, is
    detected.

    Raises:
        SetupError: not enough memory, or the disk is full.
    """
    try:
        memory = _memory()
    except OSError as error:
        raise SetupError(f"No memory for a copy of the model: {error.strerror}.") from error
    if memory is None:
        with temporary_folder("copy") as folder:
            path = folder / f"copy{suffix}"
            with open(path, "wb", opener=_private) as target:
                yield SealedCopy(path, *_copied(source, target))
        return
    with memory as target:
        sha256, size = _copied(source, target)
        _seal(target.fileno())
        yield SealedCopy(Path(f"/proc/self/fd/{target.fileno()}"), sha256, size)


def _memory() -> BinaryIO | None:
    """Return an anonymous file in memory that has a path; None where unsupported."""
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").is_dir():
        return None
    return os.fdopen(os.memfd_create("mambapro", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b", buffering=0)


def _seal(handle: int) -> None:
    import fcntl

    fcntl.fcntl(
        handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )


def _copied(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        while block := source.read(_BLOCK):
            digest.update(block)
            _write(target, block)
            size += len(block)
        target.flush()
    except OSError as error:
        raise SetupError(
            f"No room for a copy of {size:,} bytes and more: {error.strerror}. Free some memory or disk."
        ) from error
    return digest.hexdigest(), size


def _write(target: BinaryIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[target.write(rest) :]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
