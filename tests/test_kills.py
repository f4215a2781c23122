"""benchmarks/kills.py: what it finds in commands that break their promises, and nothing in one that keeps them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

#: A program that writes `whole` to a file in one step or two, and what it leaves when it is killed.
PROGRAM = """
import os, subprocess, sys, tempfile, time
behaviour, target = sys.argv[1:3]
stay = [sys.executable, "-c", "import time; time.sleep(60)"]
if behaviour == "child":
    subprocess.Popen(stay, stderr=subprocess.DEVNULL)
if behaviour == "temporary":
    tempfile.mkdtemp()
if behaviour == "beside":
    tempfile.mkdtemp(dir=os.path.dirname(target))
if behaviour == "half":
    open(target, "w").write("wh")
    time.sleep(float(sys.argv[3]))
if behaviour == "removes" and os.path.exists(target):
    os.unlink(target)
if behaviour != "half":
    time.sleep(float(sys.argv[3]))
if behaviour == "fails":
    sys.exit("no disk")
open(target + ".new", "w").write("whole")
os.replace(target + ".new", target)
"""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Modules of benchmarks/ by name, whatever the folder of the repository is called."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def by_path(name: str) -> Any:
        if name in sys.modules and Path(sys.modules[name].__file__ or "").parent == BENCHMARKS:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return by_path


@pytest.fixture
def trial(load: Callable[[str], Any], tmp_path: Path) -> Callable[[str], Any]:
    """The tally of two kills of the program with a behaviour, in the middle of its pause."""
    commands, kills = load("killed_commands"), load("kills")

    def verify(inputs: Any, results: Path) -> bool:
        if (results / "target").exists():
            assert (results / "target").read_text() == "whole", "half a file"
        return (results / "target").exists()

    def run(behaviour: str) -> Any:
        inputs = commands.Inputs(tmp_path, tmp_path, tmp_path, tmp_path)
        pauses = iter(("0", "60", "60", "0"))
        command = commands.Command(
            "write",
            lambda inputs, out: [behaviour, str(out / "target"), next(pauses)],
            verify,
            frozenset({"target"}),
            overwrite=None,
        )
        killer = kills.Killer(inputs, 0, (sys.executable, "-c", PROGRAM))
        # what is seen at the moment of the kill alone needs a program that has come so far
        moment = 1.5 if behaviour in ("half", "removes") else 0.5
        killer.moments = SimpleNamespace(uniform=lambda low, high: moment)
        return kills.trial(killer, command, 2)

    return run


def test_kept_promises(trial: Callable[[str], Any]) -> None:
    """A command that writes in one step and leaves nothing has no problems: absent first, then whole as before."""
    tally = trial("good")
    assert (tally.killed, tally.done, tally.absent, tally.whole, tally.scratch) == (2, 0, 1, 1, 0)
    assert tally.problems == []


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ("child", "1 processes were alive a second later"),
        ("temporary", "left over: "),
        ("beside", "left over: "),
        ("half", "half a file"),
        ("removes", "nothing is there"),
        ("fails", "the next run failed with 1: no disk"),
    ],
)
def test_broken_promises(trial: Callable[[str], Any], behaviour: str, problem: str) -> None:
    """Each promise that a command breaks is a problem of its own."""
    tally = trial(behaviour)
    assert any(problem in said for said in tally.problems), tally.problems


def test_shares(load: Callable[[str], Any]) -> None:
    """The kills are shared by the weights of the commands, and none gets lost."""
    kills, commands = load("kills"), load("killed_commands").COMMANDS
    shares = kills.shares(list(commands), 100)
    assert sum(shares) == 100
    assert min(shares) >= 3
    weights = [command.weight for command in commands]
    assert all(abs(share - 100 * weight / sum(weights)) < 1 for share, weight in zip(shares, weights, strict=True))
