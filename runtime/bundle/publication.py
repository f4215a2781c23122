"""Changing the files of a bundle and its list together: whole, or not at all.

Everything that can fail for lack of room is done first, under names that nobody reads. What is left are renames: the
old artifact goes off the list, old and new files change places, and the new ones are listed. Where a rename fails,
those before it are taken back. A process killed among them leaves a bundle without the artifact, which is whole.
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
    """The bundle at `folder`, of which one process at a time changes the list.

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
            # network file systems, which lock no folders
            log.warning(
                "%s lies on a disk without locks (%s): let one process at a time change it.",
                shown_text(folder),
                error.strerror,
            )
        # another export may have taken the name while this one waited
        if files.is_still_there():
            break
    try:
        yield files
    finally:
        with contextlib.suppress(OSError):
            unlock(files.handle)


def publish(files: BundleFolder, new: Mapping[str, Path | str], old: list[str]) -> None:
    """Put files in the place of others and change SHA256SUMS with them; the folder is `locked` by the caller.

    Args:
        files: the bundle.
        new: name in the bundle -> file to move there, on the same file system, or the text to write.
        old: names that are listed now and go; those that are in `new` as well are replaced.

    Raises:
        SetupError: no room or no permission; files and list are as before.
        BundleReplacedError: the bundle is another one by now, and was not touched.
    """
    listed = read_sums(files)
    kept = {name: value for name, value in listed.items() if name not in old and name not in new}
    gone = [name for name in (*old, *(name for name in new if name not in old)) if name in listed]
    moves = _Moves(files)
    with contextlib.ExitStack() as written, moves.told():
        sources = {name: _prepared(files, name, value, written) for name, value in new.items()}
        sums = {**kept, **{name: sha256_of(_path(files, source)) for name, source in sources.items()}}
        steps = {
            which: _written(files, SUMS, sums_text(text), written)
            for which, text in (("without", kept), ("old", listed), ("new", sums))
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
            # all is in place; a file system that cannot write this down at once will do so later
            os.fsync(files.handle)
        moves.forget()


class _Moves:
    """Renames inside one bundle that can be taken back."""

    def __init__(self, files: BundleFolder) -> None:
        self.files = files
        self.done: list[tuple[str | Path, str]] = []
        self.hidden: list[str] = []

    def away(self, name: str) -> None:
        """Give a file a name that nobody reads."""
        hidden = hidden_name(name)
        os.replace(name, hidden, src_dir_fd=self.files.handle, dst_dir_fd=self.files.handle)
        self.done.append((name, hidden))
        self.hidden.append(hidden)

    def into(self, source: Path | str, name: str) -> None:
        """Bring a file in: `source` is a path, or the name of one that is there already."""
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
        """Remove what was put away."""
        for name in self.hidden:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.files.handle)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Say what a full disk or a folder without permission means."""
        try:
            yield
        except OSError as error:
            state = "Its files and its list are as before." if not self.done else "Build the artifact again."
            raise SetupError(
                f"Cannot change the bundle {shown_text(self.files.path)}: {error.strerror or error}. {state}"
            ) from error


def hidden_name(name: str) -> str:
    """A name for a file that is on its way in or out: `.openvino-int8.1a2b3c4d.onnx`."""
    path = Path(name)
    head = name if name == SUMS else path.name.split(".")[0]
    return f".{head}.{secrets.token_hex(4)}{'' if name == SUMS else path.suffix}"


def _prepared(files: BundleFolder, name: str, value: Path | str, written: contextlib.ExitStack) -> Path | str:
    """The file to move in, on the disk: its path, or the name of a text written beside it."""
    if isinstance(value, str):
        return _written(files, name, value, written)
    with open(value, "rb") as file:
        os.fsync(file.fileno())
    return value


def _written(files: BundleFolder, name: str, text: str, written: contextlib.ExitStack) -> str:
    """Write a text under a hidden name, which is returned; it goes when `written` ends, unless it was moved."""
    hidden = hidden_name(name)
    # the mode is what the umask leaves of it
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
