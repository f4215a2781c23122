"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InputError, SetupError
from .exchange import exchange

#: What tempfile puts between prefix and suffix, as a regular expression.
RANDOM = "[a-z0-9_]{8}"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EROFS, errno.EPERM}


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _full_disk(target: Path) -> Iterator[None]:
    """Say what a full disk means, whichever file it hits first."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise SetupError(
            f"No room on the disk while writing {target}: {error.strerror}. "
            "Free some space or choose another place. Nothing was left behind."
        ) from error


@contextmanager
def _place(target: Path) -> Iterator[None]:
    """Say why nothing can be put at `target`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise
        kind = SetupError if error.errno in _FORBIDDEN else InputError
        raise kind(f"Cannot write {target}: {error.strerror or error}. Choose another place.") from error


def make_folder(folder: Path) -> list[Path]:
    """Create a folder with its parents; returns what was created, deepest first.

    Raises:
        InputError: a file stands in the way, or the name is impossible.
        SetupError: no permission, or no room.
    """
    made: list[Path] = []
    with _full_disk(folder), _place(folder):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    return made


def require_free(target: Path, overwrite: bool, replaceable: Callable[[Path], bool] | None = None) -> None:
    """Raise InputError unless `target` may be written.

    Something that exists needs `overwrite`; a folder that holds something must be what `replaceable` knows, so that
    nobody's own files are ever replaced, and must not hold the working directory.
    """
    with _place(target):
        if not os.path.lexists(target):
            return
        if not overwrite:
            raise InputError(f"{target} exists already. Choose another name, or replace it with --overwrite.")
        if not target.is_dir() or target.is_symlink():
            if replaceable is not None and target.is_file():
                raise InputError(
                    f"{target} is a file, and a folder is to be written; files are not replaced by folders. "
                    "Choose another name, or remove it yourself."
                )
            return
        foreign = any(target.iterdir()) and not (replaceable is not None and replaceable(target))
    if foreign or Path.cwd().is_relative_to(target):
        raise InputError(
            f"{target} is a folder that holds other things, so it is not replaced. "
            "Remove it yourself, or choose another name."
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_folders(made: list[Path]) -> None:
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def held_folder(parent: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """A new empty folder, inside of one in `parent` that is called prefix, some letters, suffix; gone afterwards.

    Others of the same prefix and suffix that nobody holds any more are removed: their process was killed.
    """
    _sweep(parent, prefix, suffix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
        handle = _hold(folder, wait=True)
        # another process may have swept it away before it was held
        if folder.exists():
            break
        _release(handle)
    try:
        # what is held is the folder around it: a bundle is locked itself while its list changes
        inner = folder / "content"
        inner.mkdir()
        yield inner
    finally:
        _remove(folder)
        _release(handle)


def _sweep(parent: Path, prefix: str, suffix: str) -> None:
    pattern = re.compile(re.escape(prefix) + RANDOM + re.escape(suffix))
    found: list[Path] = []
    # a folder that may be written but not listed is no obstacle
    with suppress(OSError):
        found = [Path(entry) for entry in os.scandir(parent) if pattern.fullmatch(entry.name)]
    for path in found:
        handle = _hold(path, wait=False)
        if handle is not None:
            _remove(path)
        _release(handle)


def _hold(folder: Path, wait: bool) -> int | None:
    """A handle that holds a folder until it is closed; None where another has it, or where that cannot be told."""
    try:
        import fcntl
    except ImportError:
        # Windows
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        _release(handle)
        return None
    return handle


def _release(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


@contextmanager
def staged_folder(
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    replaceable: Callable[[Path], bool] | None = None,
) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes `target` when the block ends well.

    On any exception, Ctrl-C included, the temporary folder is removed and everything is as before. With `overwrite` an
    existing target is replaced only after the new one is complete, and only if `replaceable` knows it as ours.

    Raises:
        InputError: `target` exists and may not be replaced, or cannot be a folder.
        SetupError: no room or no permission.
    """
    target = Path(os.path.abspath(target))
    require_free(target, overwrite, replaceable)
    made = make_folder(target.parent)
    held = ExitStack()
    try:
        with held, _full_disk(target):
            with _place(target):
                stage = held.enter_context(held_folder(target.parent, f".{target.name[:100]}.", ".partial"))
                stage.chmod(0o755)
            yield stage
            require_free(target, overwrite, replaceable)
            with _place(target):
                _swap(stage, target)
    except BaseException:
        _remove_folders(made)
        raise


def _swap(stage: Path, target: Path) -> None:
    if not os.path.lexists(target):
        os.rename(stage, target)
        return
    if exchange(stage, target):
        # what was there is in the temporary folder now, and goes with it
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".old", dir=target.parent)) / target.name
    os.rename(target, old)
    try:
        os.rename(stage, target)
    except BaseException:
        os.rename(old, target)
        raise
    finally:
        _remove(old.parent)


def write_atomically(target: str | os.PathLike[str], write: Callable[[Path], Any], *, overwrite: bool = True) -> None:
    """Call `write(temporary path)`, then rename the result to `target`.

    Raises:
        InputError: `target` exists and `overwrite` is false, is a folder, or cannot be a file.
        SetupError: no room or no permission.
    """
    target = Path(os.path.abspath(target))
    require_free(target, overwrite)
    made = make_folder(target.parent)
    temporary: Path | None = None
    try:
        with _full_disk(target):
            with _place(target):
                name = f".{target.stem[:100]}."
                handle, path = tempfile.mkstemp(prefix=name, suffix=target.suffix, dir=target.parent)
                os.close(handle)
                temporary = Path(path)
            write(temporary)
            with _place(target):
                temporary.chmod(0o644)
                os.replace(temporary, target)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        _remove_folders(made)
        raise


def json_text(value: Any) -> str:
    """Indented JSON that ends in a newline; NaN is refused, since readers of JSON refuse it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
