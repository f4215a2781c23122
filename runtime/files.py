"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError, SetupError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SetupError(
                f"No room on the disk while writing {target}: {error.strerror}. "
                "Free some space or choose another place. Nothing was left behind."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise SetupError(f"Cannot write {target}: {error.strerror}. Choose another place.") from error
        raise


def _free_name(target: Path, overwrite: bool) -> None:
    if (target.exists() or target.is_symlink()) and not overwrite:
        raise InputError(f"{target} exists already. Choose another name, or replace it with --overwrite.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes `target` when the block ends well.

    On any exception, Ctrl-C included, the temporary folder is removed and `target` is as before.
    With `overwrite` an existing target is replaced only after the new one is complete.

    Raises:
        InputError: `target` exists and `overwrite` is false.
        SetupError: no room or no permission.
    """
    target = Path(os.path.abspath(target))
    _free_name(target, overwrite)
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            stage.chmod(0o755)
            yield stage
            _free_name(target, overwrite)
            _swap(stage, target)
        except BaseException:
            _remove(stage)
            raise


def _swap(stage: Path, target: Path) -> None:
    if not (target.exists() or target.is_symlink()):
        os.rename(stage, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent)) / target.name
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
        InputError: `target` exists and `overwrite` is false.
        SetupError: no room or no permission.
    """
    target = Path(os.path.abspath(target))
    _free_name(target, overwrite)
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def json_text(value: Any) -> str:
    """Indented JSON that ends in a newline; NaN is refused, since readers of JSON refuse it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
