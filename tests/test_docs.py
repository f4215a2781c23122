"""The documentation cannot rot unnoticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mambapro.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_stands_in_the_readme(name: str) -> None:
    """The README shows each command."""
    assert re.search(rf"mambapro[ -]{name}\b", README)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_option_in_the_readme_exists() -> None:
    """Options in the README's command lines are options of that command."""
    lines = re.findall(r"^\$ mambapro[ -](\w+)(.*)$", README, re.MULTILINE)
    assert lines

    for name, arguments in lines:
        known = {option for parameter in cli.commands[name].params for option in parameter.opts}
        known |= {option for parameter in cli.commands[name].params for option in parameter.secondary_opts}
        assert set(re.findall(r"(?<!\S)--[\w-]+", arguments)) <= known, name


def test_no_output_is_left_out() -> None:
    """Every command in the README stands with its real output, none with a placeholder."""
    assert re.findall(r"^[A-Z]+_OUTPUT$", README, re.MULTILINE) == []


def test_the_map_of_folders_is_complete() -> None:
    """Every folder of the package stands in the README's map."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert {folder for folder in folders if f"{folder}/" not in README} == set()
