"""benchmarks/slips.py: its lists, and that it tells what is noticed from what is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FOLDERS = {"calib", "cli", "common", "export", "graph", "plugins", "runtime", "synthetic", "train"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Modules of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


@pytest.fixture
def tree(load: Callable[[str], Any], tmp_path: Path) -> Iterator[Any]:
    """A copy of a repository with one function and its test."""
    root = tmp_path / "root"
    (root / "tests").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "code.py").write_text("def double(x):\n    return 2 * x\n\ndef unused():\n    return 1\n")
    test = "from mambapro.code import double\n\ndef test_double():\n    assert double(3) == 6\n"
    (root / "tests" / "test_code.py").write_text(test)
    (root / "tests" / "test_wrong.py").write_text("def test_wrong():\n    assert False\n")
    for arguments in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    made = load("slip_tree").Tree(root, tmp_path / "worker")
    yield made
    made.close()


def test_lists_cover_every_folder(load: Callable[[str], Any]) -> None:
    """Every list can be read, each slip names its tests, and there are at least 120 over all folders."""
    read_list = load("slip_list").read_list
    found = [slip for path in sorted((BENCHMARKS / "slips").glob("*.toml")) for slip in read_list(path)]

    assert len(found) >= 120
    assert {slip.file.split("/")[0] for slip in found} >= FOLDERS
    assert len({(slip.file, slip.old, slip.new) for slip in found}) == len(found)


def test_slips_name_the_code_as_it_is(load: Callable[[str], Any]) -> None:
    """The old text of each slip stands in its file once, and the new one leaves code that compiles."""
    lists = load("slip_list")
    slips = [slip for path in sorted((BENCHMARKS / "slips").glob("*.toml")) for slip in lists.read_list(path)]

    assert lists.errors_of(slips, BENCHMARKS.parent) == {}


def test_noticed_and_survived(tree: Any) -> None:
    """A slip that a test sees is noticed by its name, another one survives, and the code is as before afterwards."""
    before = (tree.copy / "code.py").read_text()

    assert tree.seconds_of(["tests/test_code.py"]) > 0
    assert "test_double" in tree.slipped("code.py", "2 * x", "3 * x", ["tests/test_code.py"], 60)
    assert tree.slipped("code.py", "return 1", "return 2", ["tests/test_code.py"], 60) is None
    # the same seconds and the same size: byte code of the slip must not be taken for the code's
    assert tree.slipped("code.py", "2 * x", "x + x", ["tests/test_code.py"], 60) is None
    assert (tree.copy / "code.py").read_text() == before


def test_no_end_is_noticed(tree: Any) -> None:
    """Tests that a slip makes endless are ended."""
    endless = "while True:\n        pass"

    assert tree.slipped("code.py", "return 2 * x", endless, ["tests/test_code.py"], 3) == "no end"


def test_errors_of_a_list(tree: Any, load: Callable[[str], Any]) -> None:
    """A text that is not there once, code that is none, and tests that fail anyway are errors, not slips."""
    wrong = load("slip_tree").ListError

    with pytest.raises(wrong, match="occurs 0 times"):
        tree.slipped("code.py", "4 * x", "5 * x", ["tests/test_code.py"], 60)
    with pytest.raises(wrong, match="occurs 2 times"):
        tree.slipped("code.py", "return", "pass", ["tests/test_code.py"], 60)
    with pytest.raises(wrong, match="does not compile"):
        tree.slipped("code.py", "2 * x", "2 * (x", ["tests/test_code.py"], 60)
    with pytest.raises(wrong, match="do not pass"):
        tree.seconds_of(["tests/test_wrong.py"])
