"""How the command line talks: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import SetupError

T = TypeVar("T")

#: Standard error; a terminal gets colours and moving bars, a file gets plain lines.
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


class Report(Protocol):
    """What a command ends in: text for people, JSON for programs."""

    def to_json(self) -> dict[str, Any]: ...


def set_up_logging(verbose: bool) -> None:
    """Send the project's log to standard error, and nobody else's."""
    logger = logging.getLogger("mambapro")
    logger.handlers.clear()
    handler: logging.Handler
    if stderr.is_terminal:
        handler = RichHandler(console=stderr, show_path=False, show_level=False, show_time=False, markup=False)
    else:
        handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def emit(report: Report, as_json: bool) -> None:
    """Print a command's result, the only thing that goes to standard output."""
    click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else str(report))


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """A Track: a moving bar on a terminal, one line at the start elsewhere."""
    if not stderr.is_terminal:
        count = f" ({total})" if total is not None else ""
        stderr.print(f"{description}{count}")
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        yield from progress.track(items, total=total, description=description)


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
