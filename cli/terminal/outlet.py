"""Standard output while a command runs: control characters are spelt out, and failures to write are told apart."""

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
    """Standard output or standard error takes nothing more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.reader_gone = error.errno == errno.EPIPE
        self.reason = error.strerror or str(error)


class Outlet(io.TextIOBase):
    """A text stream that passes on what is safe to print, in any encoding.

    Control characters but line breaks and tabs are escaped, and so is what the stream's encoding lacks.

    Raises:
        OutputLost: from `write` and `flush`, where the stream cannot be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        safe = escaped(text, keep="\n\t").encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            self.stream.write(safe)
        except OSError as error:
            raise OutputLost(error) from error
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            raise OutputLost(error) from error

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
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
    """Let what a stream still holds go nowhere, so that the end of the process does not fail over it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:
        pass  # no stream of this process
