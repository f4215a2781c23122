"""Output of the command line: results to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console

from ...common.foreign_text import shown_message
from ...errors import SetupError
from .outlet import OutputLost
from .printed import printed_json, printed_text
from .progress_lines import Bars, PlainLines

T = TypeVar("T")


class _StandardError(Console):
    """Console that does not end the process."""

    def on_broken_pipe(self) -> None:
        """Pass the error on, in place of rich's exit with code 1."""
        raise


#: Standard error; colors and moving bars on a terminal, plain lines in a file. Print by `say`.
stderr = _StandardError(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


class Report(Protocol):
    """Result of a command: text for people, JSON for programs."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""


def say(message: object) -> None:
    """Print on standard error, the only way to do so: foreign text in the message is escaped, and shortened.

    A full disk behind standard error does not end the work.

    Raises:
        OutputLost: the reader of standard error has gone.
    """
    try:
        stderr.print(shown_message(message))
    except BrokenPipeError as error:
        raise OutputLost(error) from error
    except OSError:
        pass


def set_up_logging(verbose: bool) -> None:
    """Send only the project's log and Python's warnings to standard error."""
    logger = logging.getLogger("mambapro")
    logger.handlers.clear()
    logger.addHandler(_Said())
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    warnings.showwarning = _show_warning


class _Said(logging.Handler):
    """Handler that prints log records by `say`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        say(self.format(record))


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print a warning safely in place of `warnings.showwarning`."""
    say(f"{category.__name__}: {message}")


def emit(report: Report, as_json: bool) -> None:
    """Print a command's result, the only content of standard output."""
    sys.stdout.write(f"{printed_json(report.to_json()) if as_json else printed_text(report)}\n")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Show progress as a Track: moving bars on a terminal, plain lines elsewhere, both with the remaining time."""
    return (_bars if stderr.is_terminal else _lines)(items, shown_message(description), total)


_bars, _lines = Bars(stderr), PlainLines(say)


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Attribute import errors in the block to an extra; the error describes its installation.

    Raises:
        SetupError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "mambapro":
            raise
        raise SetupError(
            f'This command needs the package {error.name}, which is not installed: pip install "mambapro[{extra}]".'
        ) from error
