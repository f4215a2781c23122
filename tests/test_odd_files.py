"""Odd, hostile and mutated files through every command, and that the harness which holds them notices each fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

#: Stands in for the command line: each word breaks one promise.
FAULTY = """
import ctypes, json, os, subprocess, sys, time
from fuzzing import sandbox
import mambapro.cli.main as main

def run(arguments):
    word = arguments[0]
    if word == "traceback":
        print("Traceback (most recent call last):\\n  ...", file=sys.stderr)
        return 2
    if word == "raise":
        raise RuntimeError("not expected")
    if word == "hang":
        time.sleep(60)
    if word == "memory":
        bytes(bytearray(os.urandom(1 << 20)) * 200)
    if word == "program":
        subprocess.run(["true"])
    if word == "library":
        ctypes.CDLL(None).system(b"true")
    if word == "escape":
        print("\\x1b[2J")
    return {"code": 99}.get(word, 0)

main.run = run
words = ["nothing", "traceback", "raise", "hang", "memory", "program", "library", "escape", "code"]
print(json.dumps({w: sandbox.watched([w], ".", 2).faults((0, 2), 2, 100 << 20) for w in words}))
"""


def command(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A script of benchmarks/, run to its end."""
    return subprocess.run([sys.executable, BENCHMARKS / script, *options], capture_output=True, text=True, check=False)


def test_the_harness_notices() -> None:
    """Each broken promise is named, and a command that keeps them all has no fault."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTY], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(BENCHMARKS)}
    )

    faults = json.loads(done.stdout)
    assert faults.pop("nothing") == []
    beginnings = {word: [fault.split(" (")[0] for fault in found] for word, found in faults.items()}
    assert beginnings == {
        "traceback": ["traceback"],
        "raise": ["exit code 1", "traceback"],
        "hang": ["hang"],
        "memory": ["memory"],
        "program": ["program started"],
        "library": ["program started"],
        "escape": ["control characters printed"],
        "code": ["exit code 99"],
    }


@pytest.mark.timeout(1200)
def test_odd_files(tmp_path: Path) -> None:
    """Every odd file through the first command that reads its kind, a share of them through the others: no fault."""
    done = command("fuzz.py", "--odd", "24", "--keep", str(tmp_path))

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    total = done.stdout.splitlines()[-1].split()
    assert total[0] == "all" and int(total[1]) > 300 and int(total[2]) > 200


@pytest.mark.timeout(600)
def test_mutated_files(tmp_path: Path) -> None:
    """A few mutated files; benchmarks/fuzz.py alone tries thousands."""
    done = command("fuzz.py", "--files", "40", "--only", "extract", "--seed", "11", "--keep", str(tmp_path))

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
