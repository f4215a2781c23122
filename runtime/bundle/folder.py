"""Handle on the folder of a bundle: all files of one opening come from that folder, even if its name is reused."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ...common.foreign_text import shown_text
from ...errors import ArtifactError, InputError

#: Most links inside a bundle that are followed for one name.
_MOST_LINKS = 8
#: Deepest nesting of folders, and most files.
_DEEPEST, _MOST_FILES = 16, 10_000
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)

#: How a bundle of links becomes one of files.
COPY_HINT = (
    "Copy the bundle with what its links lead to (cp -rL), or download it without links (Hugging Face: local_dir=)."
)


class BundleFolder:
    """Open folder. Files are opened relative to the handle, part by part; links are followed only inside the folder.

    The handle is closed with the object.

    Raises:
        OSError: `path` cannot be opened as a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # the caller may change the working directory later
        self.absolute = Path(os.path.abspath(path))
        self._handle: int | None = None
        self._handle = os.open(path, _FOLDER)

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)

    @property
    def handle(self) -> int:
        """The folder's descriptor, valid while this object lives."""
        assert self._handle is not None
        return self._handle

    def is_still_there(self) -> bool:
        """Return True if the opened folder still has its name."""
        try:
            return os.path.samestat(self.absolute.stat(), os.fstat(self.handle))
        except OSError:
            return False

    def has(self, name: str) -> bool:
        """Return True if the folder directly contains this name."""
        try:
            os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except OSError:
            return False
        return True

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Yield a regular file of the folder, open for reading; `name` has forward slashes.

        Raises:
            FileNotFoundError: there is none.
            ArtifactError: unreadable, not a regular file, or a link out of the folder or in a circle.
        """
        with os.fdopen(self._open(name), "rb") as file:
            yield file

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a regular file of at most `limit` bytes; the size is checked first.

        Raises:
            FileNotFoundError, ArtifactError: as `open`; or the file is larger.
        """
        with self.open(name) as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limit else file.read(limit + 1)
        if max(size, len(content)) > limit:
            raise ArtifactError(
                f"{self._shown(name)} has {max(size, len(content)):,} bytes; at most {limit:,} are read."
            )
        return content

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        Raises:
            FileNotFoundError, ArtifactError: as `open`.
        """
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def files(self) -> list[str]:
        """Return relative names, sorted, of everything below the folder except folders.

        Raises:
            ArtifactError: a folder that cannot be listed, or far more than any bundle holds.
        """
        names: list[str] = []
        self._walk(self.handle, "", names, _DEEPEST)
        return sorted(names)

    def _walk(self, handle: int, prefix: str, names: list[str], depth: int) -> None:
        for name in _listed(handle, self._shown(prefix)):
            if len(names) >= _MOST_FILES or depth == 0:
                raise ArtifactError(f"{shown_text(self.path)} holds more files or folders than any bundle.")
            if not stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                names.append(prefix + name)
                continue
            inner = self._opened(name, _FOLDER | getattr(os, "O_NOFOLLOW", 0), handle, prefix + name)
            try:
                self._walk(inner, f"{prefix}{name}/", names, depth - 1)
            finally:
                os.close(inner)

    def _open(self, name: str) -> int:
        """Return the descriptor of a regular file, following links inside the folder."""
        rest, links = name.split("/")[::-1], 0
        chain = [os.dup(self.handle)]
        try:
            while rest:
                part = rest.pop()
                if part in ("", "."):
                    continue
                if part == "..":
                    os.close(chain.pop())
                    if not chain:
                        raise self._outside(name)
                    continue
                mode = os.stat(part, dir_fd=chain[-1], follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    links += 1
                    if links > _MOST_LINKS:
                        raise ArtifactError(
                            f"{self._shown(name)} is a link in a circle. Copy or export the bundle again."
                        )
                    target = os.readlink(part, dir_fd=chain[-1])
                    if target.startswith("/"):
                        raise self._outside(name)
                    rest += target.split("/")[::-1]
                elif stat.S_ISDIR(mode) and rest:
                    chain.append(self._opened(part, _FOLDER | getattr(os, "O_NOFOLLOW", 0), chain[-1], name))
                elif stat.S_ISREG(mode) and not rest:
                    return self._regular(part, chain[-1], name)
                else:
                    break
        finally:
            for handle in chain:
                os.close(handle)
        raise self._irregular(name)

    def _regular(self, part: str, folder: int, name: str) -> int:
        handle = self._opened(part, _READ, folder, name)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            # another file took the name meanwhile
            os.close(handle)
            raise self._irregular(name)
        return handle

    def _opened(self, part: str, flags: int, folder: int, name: str) -> int:
        try:
            return os.open(part, flags, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._irregular(name) from error
            raise ArtifactError(
                f"{self._shown(name)} cannot be read: {error.strerror}. Check who may read the bundle."
            ) from error

    def _shown(self, name: str) -> str:
        return shown_text(self.path / name)

    def _outside(self, name: str) -> ArtifactError:
        return ArtifactError(
            f"{self._shown(name)} is a link to a place outside the bundle, which is never followed. {COPY_HINT}"
        )

    def _irregular(self, name: str) -> ArtifactError:
        return ArtifactError(f"{self._shown(name)} is not a regular file. Copy or export the bundle again.")


def open_folder(folder: Path) -> BundleFolder:
    """Open the folder of a bundle.

    Raises:
        InputError: it does not exist, is no folder, or may not be entered.
    """
    advice = "A bundle is the folder that mambapro-export wrote."
    try:
        files = BundleFolder(folder)
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


def _listed(handle: int, shown: str) -> list[str]:
    try:
        return os.listdir(handle)
    except OSError as error:
        raise ArtifactError(f"{shown} cannot be listed: {error.strerror}. Check who may read the bundle.") from error
