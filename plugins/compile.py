"""Compilation of shared libraries on first use, into a cache shared by several processes.

A library is code: one that another user may have written is never loaded, see `private_folder.py`. These libraries need
headers of another package (OpenVINO, TensorRT, ONNX Runtime) and cannot be part of a wheel.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..common.children import tied
from ..common.files.locks import locked_file
from ..errors import SetupError
from .private_folder import why_untrusted

logger = logging.getLogger("mambapro")


def cache_folder() -> Path:
    """Return `$MAMBAPRO_CACHE`, or `mambapro` in the user's cache folder.

    Raises:
        SetupError: the user has no home directory.
    """
    configured = os.environ.get("MAMBAPRO_CACHE")
    if configured:
        return Path(configured)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        parent = Path(base) if os.path.isabs(base) else Path.home() / ".cache"  # noqa: PTH117
    except RuntimeError:
        parent = Path()
    if not parent.is_absolute():
        raise SetupError(
            "There is no place for the cache: this user has no home directory. Let $MAMBAPRO_CACHE name a folder that "
            "can be written, or one that was prepared."
        )
    return parent / "mambapro"


def cxx_compiler() -> str:
    """Return the path of the C++ compiler: `$CXX`, or the first of c++, g++, clang++ on the path.

    Raises:
        SetupError: there is none.
    """
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise SetupError("no C++ compiler found (looked for $CXX, c++, g++, clang++); install one, on Debian: g++.")


def shared_library(name: str, sources: Sequence[Path], flags: Sequence[str], compiler: str) -> Path:
    """Return the path of `name` compiled from `sources`; compiles it unless the cache holds it.

    The cache's key is the compiler with its version, the flags, and the content of the sources and of all headers in
    their folder. Headers elsewhere belong to installed packages: put their version into a flag. A cache prepared by
    root serves every user; in a cache of somebody else each user has a subfolder.

    Raises:
        SetupError: the compiler failed (its output is in the message), the cache folder cannot be written, or others
            may write into it.
    """
    root, key = cache_folder(), f"{name}-{_fingerprint(sources, flags, compiler)}"
    library_folder = _own_folder(root) / key
    for folder in dict.fromkeys((root / key, library_folder)):
        library = folder / f"lib{name}.so"
        # lexists: an unreadable file or a dangling link counts as missing or untrusted
        if os.path.lexists(library):
            reason = why_untrusted(folder) or why_untrusted(library)
            if reason is None:
                return library
            if folder == library_folder:
                raise _refusal(name, reason)
            logger.warning("%s is not loaded: %s.", library, reason)
    _make_private(library_folder, name)
    library = library_folder / f"lib{name}.so"
    try:
        with locked_file(library_folder / "lock"):
            if not os.path.lexists(library):
                logger.info("compiling lib%s.so, once, for up to a minute; it is kept in %s", name, library_folder)
                _compile(library, sources, flags, compiler)
    except OSError as error:
        raise _unwritable(name, library_folder, error) from error
    return library


def _own_folder(root: Path) -> Path:
    """Return the folder that only this user fills: the cache itself if it belongs to the user, else a subfolder."""
    if not hasattr(os, "geteuid"):
        return root
    try:
        mine = root.stat().st_uid == os.geteuid()
    except OSError:
        mine = True
    return root if mine else root / f"user-{os.geteuid()}"


def _make_private(folder: Path, name: str) -> None:
    """Create the folder of one library, private in the user's own cache, readable by all elsewhere."""
    try:
        missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
        for path in reversed(missing):
            path.mkdir(0o755 if os.environ.get("MAMBAPRO_CACHE") else 0o700, exist_ok=True)
            path.chmod(path.stat().st_mode & ~0o022)
    except OSError as error:
        raise _unwritable(name, folder, error) from error
    if reason := why_untrusted(folder):
        raise _refusal(name, reason)


def _unwritable(name: str, folder: Path, error: OSError) -> SetupError:
    return SetupError(
        f"lib{name}.so is compiled once and kept in {folder}, which cannot be written ({error.strerror}). Let "
        "$MAMBAPRO_CACHE name a folder that can, or compile it beforehand as a user who may."
    )


def _refusal(name: str, reason: str) -> SetupError:
    return SetupError(
        f"lib{name}.so is neither loaded from the cache nor put there: {reason}. Code is loaded only from where this "
        "user and root alone may write: remove what lies there, take the rights of others away (chmod go-w), or let "
        "$MAMBAPRO_CACHE name another folder."
    )


def _fingerprint(sources: Sequence[Path], flags: Sequence[str], compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    digest = hashlib.sha256(version)
    headers = {path for source in sources for path in source.parent.iterdir() if path.suffix in (".h", ".inc", ".cuh")}
    for part in (compiler, *flags, *(source.name for source in sources)):
        digest.update(part.encode() + b"\0")
    for path in sorted({*sources, *headers}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(library: Path, sources: Sequence[Path], flags: Sequence[str], compiler: str) -> None:
    """Compile while holding the lock; removes remains of a killed process first."""
    stage = library.parent / "partial"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(0o700)
    output = stage / library.name
    command = [compiler, *map(str, sources), "-shared", "-o", str(output), *flags]
    try:
        # the compiler's own temporary files are removed with the folder
        environment = {**os.environ, "TMPDIR": str(stage)}
        done = subprocess.run(tied(command), capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SetupError(f"compiling {library.name} failed:\n$ {shlex.join(command)}\n{done.stderr.strip()}")
        # the linker creates the file with the umask
        output.chmod(output.stat().st_mode & ~0o022 | 0o400)
        os.replace(output, library)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
