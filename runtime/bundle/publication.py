"""Atomic change of a bundle's files together with its list.

Everything that needs disk space is written first, under hidden names. The rest are renames: the old artifact is removed
from the list, old and new files are swapped, and the new ones are listed. If a rename fails, the previous ones are
undone. A process killed in between leaves a valid bundle without the artifact.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...common.files.atomic import sha256_of
from ...common.files.locks import lock, unlock
from ...common.foreign_text import shown_text
from ...errors import SetupError
from .checksums import SUMS, read_sums, replaced, sums_text
from .folder import BundleFolder

log = logging.getLogger("mambapro")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[BundleFolder]:
    """Yield the bundle at `folder`, locked so that one process at a time changes the list.

    Raises:
        SetupError: it cannot be opened.
    """
    while True:
        try:
            files = BundleFolder(folder)
        except OSError as error:
            raise SetupError(f"{shown_text(folder)} cannot be opened: {error.strerror}.") from error
        try:
            lock(files.handle)
        except OSError as error:
            # network file systems without locks of folders
            log.warning(
                "%s lies on a disk without locks (%s): let one process at a time change it.",
                shown_text(folder),
                error.strerror,
            )
        # another export may have taken the name meanwhile
        if files.is_still_there():
            break
    try:
        yield files
    finally:
        with contextlib.suppress(OSError):
            unlock(files.handle)


def publish(files: BundleFolder, new: Mapping[str, Path | str], old: list[str]) -> None:
    """Replace files and change SHA256SUMS with them; the caller holds the lock of the folder.

    Args:
        files: the bundle.
        new: name in the bundle -> file to move there, on the same file system, or the text to write.
        old: names that are listed now and go; those that are in `new` as well are replaced.

    Raises:
        SetupError: no room or no permission; files and list are as before.
        BundleReplacedError: the bundle is another one by now, and was not touched.
    """
    listed = read_sums(files)
    remaining = {name: value for name, value in listed.items() if name not in old and name not in new}
    gone = [name for name in (*old, *(name for name in new if name not in old)) if name in listed]
    moves = _Moves(files)
    with contextlib.ExitStack() as written, moves.told():
        sources = {name: _prepared(files, name, value, written) for name, value in new.items()}
        sums = {**remaining, **{name: sha256_of(_path(files, source)) for name, source in sources.items()}}
        steps = {
            which: _written(files, SUMS, sums_text(text), written)
            for which, text in (("without", remaining), ("old", listed), ("new", sums))
        }
        if not files.is_still_there():
            raise replaced(files.path)
        try:
            if gone:
                os.replace(steps["without"], SUMS, src_dir_fd=files.handle, dst_dir_fd=files.handle)
            for name in gone:
                moves.away(name)
            for name, source in sources.items():
                moves.into(source, name)
            os.replace(steps["new"], SUMS, src_dir_fd=files.handle, dst_dir_fd=files.handle)
        except BaseException:
            moves.take_back()
            os.replace(steps["old"], SUMS, src_dir_fd=files.handle, dst_dir_fd=files.handle)
            raise
        with contextlib.suppress(OSError):
            # all files are in place; a file system that cannot sync now will do so later
            os.fsync(files.handle)
        moves.forget()


class _Moves:
    """Renames inside one bundle that can be undone."""

    def __init__(self, files: BundleFolder) -> None:
        self.files = files
        self.done: list[tuple[str | Path, str]] = []
        self.hidden: list[str] = []

    def away(self, name: str) -> None:
        """Move a file to a hidden name."""
        hidden = hidden_name(name)
        os.replace(name, hidden, src_dir_fd=self.files.handle, dst_dir_fd=self.files.handle)
        self.done.append((name, hidden))
        self.hidden.append(hidden)

    def into(self, source: Path | str, name: str) -> None:
        """Move a file in: `source` is a path, or an existing name."""
        folder = None if isinstance(source, Path) else self.files.handle
        os.replace(source, name, src_dir_fd=folder, dst_dir_fd=self.files.handle)
        self.done.append((source, name))

    def take_back(self) -> None:
        """Undo every rename, the last one first."""
        while self.done:
            before, now = self.done[-1]
            folder = None if isinstance(before, Path) else self.files.handle
            os.replace(now, before, src_dir_fd=self.files.handle, dst_dir_fd=folder)
            self.done.pop()
        self.hidden.clear()

    def forget(self) -> None:
        """Remove the files with hidden names."""
        for name in self.hidden:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.files.handle)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Convert the errors of a full disk or missing permission."""
        try:
            yield
        except OSError as error:
            state = "Its files and its list are as before." if not self.done else "Build the artifact again."
            raise SetupError(
                f"Cannot change the bundle {shown_text(self.files.path)}: {error.strerror or error}. {state}"
            ) from error


def hidden_name(name: str) -> str:
    """Return a temporary name for a file: `.openvino-int8.1a2b3c4d.onnx`."""
    path = Path(name)
    head = name if name == SUMS else path.name.split(".")[0]
    return f".{head}.{secrets.token_hex(4)}{'' if name == SUMS else path.suffix}"


def _prepared(files: BundleFolder, name: str, value: Path | str, written: contextlib.ExitStack) -> Path | str:
    """Return the file to move in: its path, or the name of a text written next to it."""
    if isinstance(value, str):
        return _written(files, name, value, written)
    with open(value, "rb") as file:
        os.fsync(file.fileno())
    return value


def _written(files: BundleFolder, name: str, text: str, written: contextlib.ExitStack) -> str:
    """Write a text under a hidden name, which is returned; it is removed after `written` unless moved."""
    hidden = hidden_name(name)
    # the mode follows the umask
    handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=files.handle)
    written.callback(_unlink, files, hidden)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hidden


def _unlink(files: BundleFolder, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=files.handle)


def _path(files: BundleFolder, source: Path | str) -> Path:
    return source if isinstance(source, Path) else files.path / source
