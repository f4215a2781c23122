"""Entry points `mambapro` and `mambapro-export`: signals and streams are set up before all else."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from .terminal.signals import watch


def main() -> NoReturn:
    """Run `mambapro`."""
    prepare()
    from .main import run

    sys.exit(run(sys.argv[1:]))


def export_main() -> NoReturn:
    """Run `mambapro-export`, which is `mambapro export`."""
    prepare()
    from .main import export, run

    sys.exit(run(sys.argv[1:], export, "mambapro-export"))


def prepare() -> None:
    """Handle signals, and stand in for standard streams that the caller closed.

    A file that is opened later must not become standard output or standard error. A closed standard output is an
    error (exit code 3) before any work: nothing could be told at the end of it.
    """
    watch()
    missing = sys.stdout is None
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if missing:
        sys.stderr.write("error: standard output is closed. Send it to a file, or to /dev/null.\n")
        sys.exit(3)
