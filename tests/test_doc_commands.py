"""The commands of the pages: all are found, each is run or says why not, and outputs are compared word by word."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import pytest
from click.core import ParameterSource
from mambapro.cli.main import cli

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from doc_commands import Block, blocks, differences, masked  # noqa: E402 - a program's module, not the package's

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
LINES = [command.line for block in BLOCKS for command in block.commands]

#: A block whose lines on speed vary, with a line that need not be there.
SPEED = Block("page.md", 1, (), varies=("^speed",), may=("^busy",))
PAGE = """
# Title

<!-- check
setup: touch a
varies: ^speed
exit: 3
-->
```
$ mambapro one \\
    --two     # a comment
out 1
$ mambapro three
```

<!-- check skip: needs a GPU -->

    mambapro four
    == a heading

```python
mambapro = 1
```
"""


def test_blocks(tmp_path: Path) -> None:
    """Fenced and indented blocks, with what their comments say; other code is none."""
    (tmp_path / "page.md").write_text(PAGE)

    first, second = blocks(tmp_path / "page.md")

    assert [(c.line, c.output) for c in first.commands] == [
        ("mambapro one --two", ("out 1",)),
        ("mambapro three", None),
    ]
    assert (first.setup, first.varies, first.exit, first.skip) == (("touch a",), ("^speed",), 3, None)
    assert [c.line for c in second.commands] == ["mambapro four"] and second.skip == "needs a GPU"


def test_unknown_key(tmp_path: Path) -> None:
    """A comment with a key that does nothing is a mistake."""
    (tmp_path / "page.md").write_text("<!-- check skp: why -->\n```\n$ make demo\n```\n")

    with pytest.raises(ValueError, match="skp"):
        list(blocks(tmp_path / "page.md"))


class TestDifferences:
    @pytest.mark.parametrize(
        ("shown", "found"),
        [
            ("took 5.2 ms, 0.88 times", "took 11.0 ms, 1.5 times"),
            ("wrote a (5.6 MB)", "wrote   a (12 MB)"),
            ("feature space  444e00255c9779a2", "feature space 0123456789abcdef"),
            ("not run: no GPU (...).", "not run: no GPU (libcuda.so.1: cannot open)."),
            ("a\n...\nz 1", "a\nb\nc\nz 2"),
            ("speed 5 ms, slower", "speed 3 ms, faster"),
            ("a\nb", "a\nbusy machine\nb"),
        ],
    )
    def test_same(self, shown: str, found: str) -> None:
        """Measured numbers, widths of columns, hashes and what is left out are free."""
        assert differences(shown.split("\n"), found.split("\n"), SPEED) == []

    @pytest.mark.parametrize(
        ("shown", "found"),
        [
            ("320 queries", "319 queries"),
            ("accepted", "refused"),
            ("mAP 78.6%", "mAP nan%"),
            ("a\nb", "a"),
            ("a", "a\nb"),
            ("a\nb", "b\na"),
            ("a\n...\nz", "a\nb"),
            ("speed 5 ms", "size 5 ms"),
        ],
    )
    def test_different(self, shown: str, found: str) -> None:
        """Words, counts, lines that are missing, added or in another order are differences."""
        assert differences(shown.split("\n"), found.split("\n"), SPEED)

    def test_numbers(self) -> None:
        """A number is a number in whatever form; a name with digits is none."""
        assert masked("1 - cosine 2.93e-04, -0.10 %, [76.0, 81.2], 1,370,496") == "# - cosine #, # %, [#, #], #"
        assert masked("openvino-int8 rgbnt201 Rank-1 14 samples") == "openvino-int8 rgbnt201 Rank-1 14 samples"


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("mambapro")])
def test_command_lines_parse(line: str) -> None:
    """Every command line of README and docs is one that the command takes: its options exist, their values fit."""
    name, *arguments = shlex.split(line)
    command: click.Command = cli
    if name == "mambapro-export":
        arguments = ["export", *arguments]
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]

    options = [word.split("=")[0] for word in arguments if word.startswith("--")]
    context = command.make_context("command", list(arguments))

    typed = [
        parameter
        for parameter in command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    names = {name for parameter in typed for name in (*parameter.opts, *parameter.secondary_opts)}
    assert set(options) <= names and context.args == []


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("pytest", "python benchmarks"))])
def test_tests_and_benchmarks_exist(line: str) -> None:
    """Files of the repository in a command line are there, as are the words that `-k` selects by."""
    words = shlex.split(line)
    files = [ROOT / word for word in words if word.startswith(("tests", "benchmarks"))]
    wanted = words[words.index("-k") + 1].split(" or ") if "-k" in words else [""]

    assert files and all(file.exists() for file in files)
    sources = [path for file in files for path in ([file] if file.is_file() else file.rglob("*.py"))]
    assert all(any(word.lower() in path.read_text().lower() for path in sources) for word in wanted)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.number}")
def test_names_that_stand_for_something_are_not_run(block: Block) -> None:
    """ROOT is nobody's folder: a block that names it says why it is not run; every reason is one."""
    named = [command.line for command in block.commands if "ROOT" in shlex.split(command.line)]

    assert not named or block.skip
    assert block.skip is None or len(block.skip) > 10


def test_no_output_is_written_twice() -> None:
    """In the order of the pages no file is written a second time, which the commands would refuse."""
    written = [
        words[words.index("--out") + 1]
        for block in BLOCKS
        if not block.skip
        for command in block.commands
        if "--out" in (words := shlex.split(command.line))
    ]

    assert written and len(written) == len(set(written))
