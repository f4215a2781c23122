"""Signals end a command with their own exit codes, wherever they arrive."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: A command that is interrupted while Python runs a finaliser, where exceptions are lost.
CODE = """
import click, signal, sys, time
from mambapro.cli import main

class Ends:
    def __del__(self):
        signal.raise_signal({number})

@click.command()
def command():
    Ends()
    time.sleep(20)

sys.exit(main.run([], command))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_swallowed_by_a_finaliser(number: int) -> None:
    """A signal whose exception is lost in a finaliser comes again, and ends the command."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(number=int(number))], capture_output=True, text=True, timeout=15, check=False
    )

    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
