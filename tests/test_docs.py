"""The documentation cannot rot unnoticed."""

from __future__ import annotations

import re
import subprocess
import sys
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_exist(page: Path) -> None:
    """Every source file that a page names is there, under that name or at the end of a longer one."""
    named = re.findall(r"[\w./-]*\w\.(?:py|cuh?|cpp)\b", page.read_text())
    folders = [path.parent for path in ROOT.glob("*/__init__.py")] + [ROOT / "tests", ROOT / "benchmarks"]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.*"))]
    there = "\n".join(f"/{path.relative_to(ROOT).as_posix()}\n" for path in files)

    assert [name for name in named if f"/{name}\n" not in there] == []


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


def test_the_readme_is_short() -> None:
    """The README has at most 160 lines; the rest stands in docs/."""
    assert len(README.splitlines()) <= 160


def test_every_page_stands_in_the_index() -> None:
    """The home page links every other page of docs/."""
    index = (ROOT / "docs/index.md").read_text()

    assert [page.name for page in (ROOT / "docs").glob("[!i]*.md") if f"({page.name})" not in index] == []


def test_names_of_the_reference_exist() -> None:
    """Every name in docs/reference.md is a module of the package, or defined at the top level of one."""
    names = re.findall(r"^::: mambapro\.(\S+)", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    assert names

    for name in names:
        module, _, last = name.rpartition(".")
        file = (ROOT / name.replace(".", "/")).with_suffix(".py")
        if not file.is_file():
            source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
            assert re.search(rf"^(?:class|def) {last}\b", source, re.MULTILINE), name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # not --quiet: it hides the warnings from --strict as well
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class TestSite:
    def test_is_built_without_a_warning(self, site: Path) -> None:
        """Links, anchors, navigation and docstrings hold, and the reference has the public names."""
        page = (site / "reference.html").read_text()

        for name in re.findall(r"^::: (\S+)", (ROOT / "docs/reference.md").read_text(), re.MULTILINE):
            assert f'id="{name}"' in page

    def test_loads_nothing_from_elsewhere(self, site: Path) -> None:
        """Scripts, styles, fonts and images are the site's own files."""
        pages = "".join(path.read_text() for path in site.glob("*.html"))
        styles = "".join(path.read_text() for path in site.rglob("*.css"))

        assert re.findall(r"<(?:script|img|iframe)[^>]* src=.(?:https?:)?//[^>]*>", pages) == []
        assert re.findall(r"<link[^>]* href=.(?:https?:)?//[^>]*>", pages) == []
        assert re.findall(r"(?:url\(.?|@import .)(?:https?:)?//", styles) == []
