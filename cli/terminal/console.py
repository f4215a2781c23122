"""How the command line talks: results to standard output, everything else to standard error."""

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
    """A console that ends nothing by itself."""

    def on_broken_pipe(self) -> None:
        """Pass the error on, in place of rich's exit with code 1."""
        raise


#: Standard error; a terminal gets colours and moving bars, a file gets plain lines. `say` is the way to print on it.
stderr = _StandardError(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


class Report(Protocol):
    """What a command ends in: text for people, JSON for programs."""

    def to_json(self) -> dict[str, Any]: ...


def say(message: object) -> None:
    """Print on standard error, the only way there: foreign text in the message is escaped, and cut where it is long.

    Raises:
        OutputLost: whoever read standard error has gone. That it is full is no reason to end the work.
    """
    try:
        stderr.print(shown_message(message))
    except BrokenPipeError as error:
        raise OutputLost(error) from error
    except OSError:
        pass


def set_up_logging(verbose: bool) -> None:
    """Send the project's log and Python's warnings to standard error, and nobody else's."""
    logger = logging.getLogger("mambapro")
    logger.handlers.clear()
    logger.addHandler(_Said())
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    warnings.showwarning = _show_warning


class _Said(logging.Handler):
    """A handler of log records that says them."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Take the place of `warnings.showwarning`, which prints what it is given as it is."""
    say(f"{category.__name__}: {message}")


def emit(report: Report, as_json: bool) -> None:
    """Print a command's result, the only thing that goes to standard output."""
    sys.stdout.write(f"{printed_json(report.to_json()) if as_json else printed_text(report)}\n")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """A Track: moving bars on a terminal, plain lines elsewhere, both with the time that is left."""
    return (_bars if stderr.is_terminal else _lines)(items, shown_message(description), total)


_bars, _lines = Bars(stderr), PlainLines(say)


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in the block belong to an extra; a missing package becomes an error that says how to get it.

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
