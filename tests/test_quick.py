"""The selection of `make quick`: tests of every folder of the product."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LINES = TESTS.joinpath("quick.txt").read_text().splitlines()
FOLDERS = sorted(path.parent.name for path in TESTS.parent.glob("*/__init__.py"))


def test_folders_of_the_product() -> None:
    """Those that the next test goes through are the packages of this repository."""
    assert {"train", "calib", "graph", "export", "runtime", "plugins", "cli", "common", "synthetic"} <= set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_quick_tests(folder: str) -> None:
    """At least one line selects a file or folder with tests of it."""
    assert [line for line in LINES if f"{line}/".startswith(f"tests/{folder}/")]


@pytest.mark.parametrize("line", LINES)
def test_lines_select_tests(line: str) -> None:
    """Every line is a file with tests or a folder that holds some, and none lies within another line."""
    path = TESTS.parent / line

    files = [path] if path.is_file() else [*path.rglob("test_*.py")]

    assert files and all("def test_" in file.read_text() for file in files)
    assert not any(other != line and line.startswith(f"{other}/") for other in LINES)
