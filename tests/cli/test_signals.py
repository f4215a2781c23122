"""Signals end a command with their own exit codes, wherever they arrive."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: A command that is interrupted where the exception is lost.
CODE = """
import click, signal, sys, time
from mambapro.cli import main

class Ends:
    def __del__(self):
        signal.raise_signal({number})

@click.command()
def command():
    {loses}
    time.sleep(20)

sys.exit(main.run([], command))
"""


#: Ways to lose it: a finaliser, and code that catches everything.
LOSES = {
    "finaliser": "Ends()",
    "bare-except": "\n    ".join(("try:", "    signal.raise_signal({number})", "except:", "    pass")),
}
#: A command that takes longer to clean up than the signal takes to come again.
SLOW = """
try:
        time.sleep(20)
    finally:
        time.sleep(1)
        sys.stderr.write("cleaned up")
"""


def run(number: int, loses: str) -> subprocess.CompletedProcess[str]:
    code = CODE.format(number=int(number), loses=loses.strip().format(number=int(number)))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", LOSES)
def test_lost_exception(number: int, way: str) -> None:
    """A signal whose exception is lost comes again, and ends the command."""
    done = run(number, LOSES[way])

    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr.split("Exception ignored")[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cleaning_up_is_left_alone(number: int) -> None:
    """While the exception is on its way the signal does not come again: what cleans up may take its time."""
    done = run(number, SLOW.replace("time.sleep(20)", "signal.raise_signal({number})"))

    assert done.returncode == 128 + number, done.stderr
    assert "cleaned up" in done.stderr
