"""Compiles a shared library on first use, into a cache that several processes may share.

What is compiled here needs headers of another package (OpenVINO, TensorRT, ONNX Runtime) and cannot travel in a wheel.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import SetupError

logger = logging.getLogger("mambapro")


def cache_folder() -> Path:
    """`$MAMBAPRO_CACHE`, or `mambapro` in the user's cache folder."""
    given = os.environ.get("MAMBAPRO_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mambapro"


def cxx_compiler() -> str:
    """Path of the C++ compiler: `$CXX`, or the first of c++, g++, clang++ on the path.

    Raises:
        SetupError: there is none.
    """
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise SetupError("no C++ compiler found (looked for $CXX, c++, g++, clang++); install one, on Debian: g++.")


def shared_library(name: str, sources: Sequence[Path], flags: Sequence[str], compiler: str) -> Path:
    """Path of `name` compiled from `sources`; compiled now unless the cache holds it.

    The cache's key is the compiler with its version, the flags, and the content of the sources and of all headers
    beside them. Headers elsewhere belong to installed packages: put their version into a flag.

    Raises:
        SetupError: the compiler failed (its words are in the message), or the cache folder cannot be written.
    """
    folder = cache_folder() / f"{name}-{_fingerprint(sources, flags, compiler)}"
    library = folder / f"lib{name}.so"
    if os.path.exists(library):  # noqa: PTH110 - Path's raises where the folder may not be looked into
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise SetupError(
            f"lib{name}.so is compiled once and kept in {folder}, which cannot be written ({error.strerror}). Let "
            "$MAMBAPRO_CACHE name a folder that can, or compile it beforehand as a user who may."
        ) from error
    with lock:
        _wait_for(lock.fileno())
        if not library.exists():
            logger.info("compiling lib%s.so, once; it is kept in %s", name, folder)
            _compile(library, sources, flags, compiler)
    return library


def _fingerprint(sources: Sequence[Path], flags: Sequence[str], compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    digest = hashlib.sha256(version)
    headers = {path for source in sources for path in source.parent.iterdir() if path.suffix in (".h", ".inc", ".cuh")}
    for part in (compiler, *flags, *(source.name for source in sources)):
        digest.update(part.encode() + b"\0")
    for path in sorted({*sources, *headers}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _wait_for(descriptor: int) -> None:
    """Hold a lock until the file is closed, so that only one process compiles."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _compile(library: Path, sources: Sequence[Path], flags: Sequence[str], compiler: str) -> None:
    # a compiler that is killed leaves a file of another name behind, never half a library
    handle, temporary = tempfile.mkstemp(dir=library.parent, suffix=".so")
    os.close(handle)
    command = [compiler, *map(str, sources), "-shared", "-o", temporary, *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"compiling {library.name} failed:\n$ {shlex.join(command)}\n{done.stderr.strip()}")
        os.replace(temporary, library)
    finally:
        Path(temporary).unlink(missing_ok=True)
