"""Standard output of a command: control characters are escaped, and failed writes are classified."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ...common.foreign_text import escaped


class OutputLost(Exception):
    """Error of standard output or standard error that can no longer be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.reader_gone = error.errno == errno.EPIPE
        self.reason = error.strerror or str(error)


class Outlet(io.TextIOBase):
    """Text stream that passes on only printable text, in any encoding.

    Control characters except line breaks and tabs are escaped, and so are characters missing in the stream's encoding.

    Raises:
        OutputLost: from `write` and `flush`, where the stream cannot be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self.stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Write escaped text; return its length."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        safe = escaped(text, keep="\n\t").encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            self.stream.write(safe)
        except OSError as error:
            raise OutputLost(error) from error
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            self.stream.flush()
        except OSError as error:
            raise OutputLost(error) from error

    def isatty(self) -> bool:
        """Return True for a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self.stream.fileno()


@contextmanager
def safe_output() -> Iterator[None]:
    """Print through an Outlet within the block."""
    before = sys.stdout
    sys.stdout = Outlet(before)
    try:
        yield
    finally:
        sys.stdout = before


def give_up(stream: TextIO) -> None:
    """Discard the stream's buffer, so that the end of the process does not fail."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:
        pass  # not a stream of this process
