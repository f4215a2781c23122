"""Atomic writing of files and folders: complete or not at all, no forbidden replacement, synced to disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..foreign_text import json_text_escaped
from .disk_errors import full_disk, place
from .durable import sync_file, sync_folder, sync_tree
from .exchange import exchange, rename_new
from .locks import RANDOM, held_folder, remove, sweep
from .targets import Replaceable, followed, may_go, require_free, require_outside

#: Function that writes a file at the given path.
Write = Callable[[Path], Any]

#: Suffix of scratch folders `.NAME.xxxxxxxx.partial` next to the target.
PARTIAL = ".partial"
#: Bytes of the target's name in the scratch folder's name; a file name has 255 at most.
_NAME_BYTES = 100


def is_partial(name: str) -> bool:
    """Return True if a folder of this name is a scratch folder of a write in progress."""
    return re.fullmatch(rf"\..+\.{RANDOM}{re.escape(PARTIAL)}", name) is not None


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hash_of(file)


def hash_of(file: BinaryIO) -> str:
    """Return the hex SHA-256 of the rest of an open file."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def make_folder(folder: Path) -> list[Path]:
    """Create a folder with its parents; return the created ones, deepest first.

    Raises:
        InputError: a file is in the way, the name is impossible, or it lies in a bundle.
        SetupError: no permission, or the disk is full.
    """
    with place(folder):
        require_outside(folder)
    return _made(folder)


def _made(folder: Path) -> list[Path]:
    made: list[Path] = []
    with full_disk(folder), place(folder):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    return made


def clear_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove scratch folders of killed processes for these names; writes in progress stay."""
    for name in names:
        sweep(folder, _prefix(name), PARTIAL)


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove the folders of `make_folder` that are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def staged_folder(
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    replaceable: Replaceable | None = None,
) -> Iterator[Path]:
    """Yield a temporary folder next to `target` that becomes `target` when the block succeeds.

    On any exception, Ctrl-C included, the temporary folder is removed and nothing has changed. Without `overwrite`
    nothing that exists at the last moment is replaced; with it an existing target is replaced only after the new one is
    complete, and only if `replaceable` accepts it. Modes follow the umask.

    Raises:
        InputError: `target` exists and may not be replaced, or cannot be a folder.
        SetupError: the disk is full or permission is missing.
    """
    target = Path(os.path.abspath(target))
    known = replaceable or _nothing
    require_free(target, overwrite, known)
    created = _made(target.parent)
    held = ExitStack()
    try:
        with held, full_disk(target):
            with place(target):
                stage = held.enter_context(held_folder(target.parent, _prefix(target.name), PARTIAL))
            yield stage
            with place(target):
                sync_tree(stage)
                _swap(stage, target, overwrite, known)
                sync_folder(target.parent)
    except BaseException:
        remove_folders(created)
        raise


def _nothing(folder: Path) -> bool:
    return False


def _prefix(name: str) -> str:
    """Return the prefix of a scratch folder's name; long names are cut between two characters."""
    return f".{os.fsencode(name)[:_NAME_BYTES].decode(errors='ignore')}."


def _swap(stage: Path, target: Path, overwrite: bool, replaceable: Replaceable) -> None:
    require_free(target, overwrite, replaceable)
    try:
        rename_new(stage, target)
        return
    except FileExistsError:
        if not overwrite:
            raise
    if not exchange(stage, target):
        _swap_in_two_steps(stage, target)
        return
    # the old content is in the temporary folder now, and is removed with it if still allowed
    if not may_go(stage, replaceable):
        exchange(stage, target)
        require_free(target, overwrite, replaceable)


def _swap_in_two_steps(stage: Path, target: Path) -> None:
    old = Path(tempfile.mkdtemp(prefix=_prefix(target.name), suffix=".old", dir=target.parent)) / target.name
    os.rename(target, old)
    try:
        os.rename(stage, target)
    except BaseException:
        os.rename(old, target)
        raise
    finally:
        remove(old.parent)


def write_atomically(
    target: str | os.PathLike[str], write: Write, *, overwrite: bool = True, in_bundle: bool = False
) -> None:
    """Call `write(temporary path)`, then rename the result to `target`.

    Without `overwrite` nothing that exists at the moment of the rename is replaced. A link is followed: it stays, and
    its target file is replaced. The mode follows the umask, independent of the old file. `in_bundle` is for a bundle's
    own files.

    Raises:
        InputError: `target` exists and `overwrite` is false, is no regular file, lies in a bundle, or cannot be a file.
        SetupError: the disk is full or permission is missing.
    """
    write_together({Path(target): write}, overwrite=overwrite, in_bundle=in_bundle)


def write_together(writes: Mapping[Path, Write], *, overwrite: bool = True, in_bundle: bool = False) -> None:
    """Write related files as `write_atomically`: all are complete before the first rename.

    The first is meaningful on its own: a process killed between two renames leaves no other without it.
    """
    targets = {Path(os.path.abspath(target)): write for target, write in writes.items()}
    for target in targets:
        require_free(target, overwrite, in_bundle=in_bundle)
    created = [folder for target in targets for folder in _made(target.parent)]
    try:
        with ExitStack() as held:
            ready = []
            for target, write in targets.items():
                with full_disk(target):
                    ready.append((*_written(target, write, held), target))
            _put(ready, overwrite, in_bundle)
    except BaseException:
        remove_folders(created)
        raise


def _written(target: Path, write: Write, held: ExitStack) -> tuple[Path, Path]:
    """Write a complete file to disk; return it and its target."""
    with place(target):
        real = followed(target)
        temporary = held.enter_context(held_folder(real.parent, _prefix(real.name), PARTIAL)) / real.name
        # the mode of a new file follows the umask, or the folder's own rule
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
    write(temporary)
    with place(target):
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            # libraries that write another file and rename it make that one private
            temporary.chmod(mode)
        sync_file(temporary)
    return temporary, real


def _put(ready: list[tuple[Path, Path, Path]], overwrite: bool, in_bundle: bool) -> None:
    new: list[Path] = []
    try:
        for temporary, real, target in ready:
            with full_disk(target), place(target):
                require_free(target, overwrite, in_bundle=in_bundle)
                if overwrite:
                    os.replace(temporary, real)
                else:
                    rename_new(temporary, real)
                    new.append(real)
    except BaseException:
        # none of several stays without the others
        for real in new:
            real.unlink(missing_ok=True)
        raise
    for folder in {real.parent for _, real, _ in ready}:
        sync_folder(folder)


def json_text(value: Any) -> str:
    """Return indented JSON that ends in a newline; NaN is rejected, since JSON readers reject it.

    Letters of every language stay; control characters and undecodable bytes of file names are escaped.
    """
    return json_text_escaped(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
