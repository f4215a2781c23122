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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_at_the_end(number: int) -> None:
    """A command that finishes after a swallowed signal exits as one that was ended by it."""
    done = run(number, LOSES["bare-except"] + "\n    return")

    assert done.returncode == 128 + number, done.stderr


#: A program that interrupts the import of the commands, in place of a person who is quick.
IMPORTING = """
import signal, sys

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "click":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from mambapro.cli.entry import main
sys.argv = ["mambapro", "--version"]
main()
"""
#: A program that runs a command line again and again, and interrupts it one line later each time.
EVERYWHERE = """
import os, signal, sys
from mambapro.cli.entry import main

def interrupt_at(count, times, told):
    def trace(frame, event, argument):
        nonlocal count
        if "/cli/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            count -= 1
            if -times < count <= 0:
                os.write(told, b"x")
                signal.raise_signal(signal.SIGINT)
        return trace
    sys.settrace(trace)

sys.argv = ["mambapro", *{arguments}]
try:
    main()  # imports everything once
except SystemExit:
    pass
codes, count = [], 0
while True:
    count += 1
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        interrupt_at(count, {times}, tell)
        main()
    os.close(tell)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not os.read(told, 1):
        break
    os.close(told)
    codes.append(status)
print(*sorted({{*codes}}), len(codes))
"""


def test_interrupt_during_the_imports() -> None:
    """Ctrl-C before the commands are there is an interrupt like any other."""
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=300, check=False)

    assert (done.returncode, done.stderr.count("interrupted")) == (130, 1)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "times"), [(["--version"], 3), (["nothing"], 1), (["check", "nowhere"], 1)])
def test_interrupt_at_every_line(arguments: list[str], times: int) -> None:
    """Ctrl-C, once or thrice, at any line of the command line's own code ends with 130 and no traceback."""
    code = EVERYWHERE.format(arguments=arguments, times=times)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)

    *codes, tried = done.stdout.splitlines()[-1].split()
    assert codes == ["130"] and int(tried) > 20
    assert "Traceback" not in done.stderr
