"""Children end with their parent, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mambapro.common.children import PARENT, environment_of_child, tie_to_parent

#: A parent that starts one child by the code in its argument, tells its number, and waits.
_PARENT = """
import os, subprocess, sys, time
from mambapro.common.children import environment_of_child, tied
child = subprocess.Popen(eval(sys.argv[1]), env=environment_of_child(), stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="", flush=True)
time.sleep(60)
"""
#: A child of ours, and a program of others that starts another one itself.
_CHILD = (
    "from mambapro.common.children import tie_to_parent; tie_to_parent(); import os, time; "
    "print(os.getpid(), flush=True); time.sleep(60)"
)
_OURS = f"[sys.executable, '-c', {_CHILD!r}]"
_OTHERS = "tied(['sh', '-c', 'sleep 60 & echo $! $$; wait'])"


def alive(number: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's list of processes")
@pytest.mark.parametrize("code", [_OURS, _OTHERS], ids=["ours", "a program of others"])
def test_a_killed_parent_takes_its_children_along(code: str) -> None:
    """Within a moment of SIGKILL nothing that it started runs, and no child of that either."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    numbers = list(map(int, parent.stdout.readline().split()))
    assert numbers and all(map(alive, numbers))

    parent.kill()
    parent.wait()
    parent.stdout.close()

    ends = time.monotonic() + 5
    while any(map(alive, numbers)) and time.monotonic() < ends:
        time.sleep(0.01)
    left = [number for number in numbers if alive(number)]
    for number in left:
        os.kill(number, signal.SIGKILL)
    assert not left


def test_a_parent_that_is_gone_already() -> None:
    """A child whose parent ended before it was tied ends at once."""
    done = subprocess.run(
        [sys.executable, "-c", "from mambapro.common.children import tie_to_parent; tie_to_parent(); print('went on')"],
        env={**environment_of_child(), PARENT: "1" if os.getpid() != 1 else "2"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


def test_nobody_is_tied_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was started by hand goes on without its parent, and so do children of a tied one."""
    monkeypatch.delenv(PARENT, raising=False)

    tie_to_parent()

    assert PARENT not in os.environ


def test_the_program_s_own_end_is_told() -> None:
    """Exit code, output and a missing program are those of the program."""
    from mambapro.common.children import tied

    done = subprocess.run(tied(["sh", "-c", "echo out; exit 7"]), capture_output=True, text=True, check=False)
    missing = subprocess.run(tied(["/no/such/program"]), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (7, "out\n") and missing.returncode == 127
