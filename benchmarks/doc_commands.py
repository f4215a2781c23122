"""Commands and outputs that stand in a page of Markdown, and how far an output is what the page shows.

A block of code belongs to the check if a line of it begins with a command (`$ ` in fenced blocks). An HTML comment
directly before the block says more about it, one `key: value` on a line:

    <!-- check
    skip: why the block cannot be run by the check
    setup: a shell command to run before the block; may stand several times
    varies: a regular expression of lines whose words depend on the machine, of which the first one must be the same
    may: a regular expression of lines that may stand in the output beside those that are shown
    exit: the exit code of the block's last command
    -->

A comment of one line may hold one of them: `<!-- check skip: needs a GPU -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: First words of lines that are commands.
PROGRAMS = ("mambapro", "mambapro-export", "make", "pytest", "python", "pip", "torchrun")
_COMMENT = re.compile(r"<!-- check\s((?:(?!-->).)*)-->\s*\Z", re.DOTALL)
#: A count: what stands before such a word is the same on every machine.
_COUNTED = (
    r"samples|identities|queries|hashes|goldens|embeddings|modules|layers|scan|groups|points?|resamples|bootstrap"
)
_ANY = r"(?<![\w.-])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?(?![.,]?\d)(?![\w-])"
_NUMBER = re.compile(rf"{_ANY}(?!\s(?:more )?(?:{_COUNTED})\b)")


@dataclass(frozen=True)
class Command:
    """A command line with the output that the page shows, line by line; None if it shows none."""

    line: str
    output: tuple[str, ...] | None


@dataclass(frozen=True)
class Block:
    """A block of commands: where it stands, and what is said about it."""

    page: str
    number: int
    commands: tuple[Command, ...]
    skip: str | None = None
    setup: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    exit: int = 0


@dataclass
class _Said:
    skip: str | None = None
    setup: list[str] = field(default_factory=list)
    varies: list[str] = field(default_factory=list)
    may: list[str] = field(default_factory=list)
    exit: int = 0


def blocks(page: Path) -> Iterator[Block]:
    """Every block of commands of a page, in order.

    Raises:
        ValueError: a comment has a key that is unknown.
    """
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n((?:.*\n)*?)```$|(?:^    .*\S.*\n)+", text, re.MULTILINE):
        body = found[2] if found[2] is not None else re.sub(r"^    ", "", found[0], flags=re.MULTILINE)
        commands = tuple(_commands(body.splitlines()))
        if found[1] == "python" or not commands:
            continue
        said = _said(text[: found.start()], page)
        number = text[: found.start()].count("\n") + 1
        yield Block(
            page.name, number, commands, said.skip, tuple(said.setup), tuple(said.varies), tuple(said.may), said.exit
        )


def _commands(lines: Sequence[str]) -> Iterator[Command]:
    """Lines that begin with `$ ` or with a program, continued where they end in a backslash, and what follows each."""
    prompts = any(line.startswith("$ ") for line in lines)
    command, output = "", []
    continues = False
    for line in lines:
        if continues:
            command, continues = f"{command[:-1].rstrip()} {line.strip()}", line.endswith("\\")
        elif line.startswith("$ ") if prompts else line.split(" ")[0] in PROGRAMS:
            if command:
                yield Command(re.sub(r"\s{2,}# .*", "", command), tuple(output) or None)
            command, output = line.removeprefix("$ "), []
            continues = line.endswith("\\")
        elif command and not line.startswith("== "):
            output.append(line)
    if command:
        yield Command(re.sub(r"\s{2,}# .*", "", command), tuple(output) or None)


def _said(before: str, page: Path) -> _Said:
    said = _Said()
    comment = _COMMENT.search(before)
    for line in comment[1].strip().splitlines() if comment else ():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "skip":
            said.skip = value
        elif key == "exit":
            said.exit = int(value)
        elif key in ("setup", "varies", "may"):
            getattr(said, key).append(value)
        else:
            raise ValueError(f"{page}: unknown key {key!r} in a comment of the check")
    return said


def differences(shown: Sequence[str], found: Sequence[str], block: Block, counts: bool = True) -> list[str]:
    """What of the output `shown` in a page is not in the output `found`; empty if all of it is.

    Every word must be the same and every number a number; numbers are free but for counts (`counts`), widths of
    columns are free, and a line `...` stands for any lines.
    """
    varies = block.varies
    wanted = [line for line in shown if line.strip()]
    lines = [line for line in found if line.strip() and not any(re.search(may, line) for may in block.may)]
    position, free = 0, False
    problems = []
    for line in wanted:
        if line.strip() == "...":
            free = True
            continue
        fits = [i for i in range(position, len(lines)) if same_line(line, lines[i], varies, counts)]
        if not fits or (not free and fits[0] != position):
            where = repr(lines[position]) if position < len(lines) else "the end"
            problems.append(f"shown: {line!r}\n  found: {where}")
            position += 0 if free else 1
        else:
            position = fits[0] + 1
        free = False
    if not free and position < len(lines):
        problems.append(f"not shown: {lines[position]!r} and {len(lines) - position - 1} lines more")
    return problems


def same_line(shown: str, found: str, varies: Sequence[str] = (), counts: bool = True) -> bool:
    """A line of a page is one of an output, but for numbers, widths, and what `(...)` stands for."""
    if any(re.search(pattern, shown) for pattern in varies):
        return shown.split()[:1] == found.split()[:1]
    pattern = re.escape(masked(shown, counts)).replace(re.escape("(...)"), r"\(.*\)")
    return re.fullmatch(pattern, masked(found, counts)) is not None


def masked(line: str, counts: bool = True) -> str:
    """A line whose numbers are `#` and whose runs of spaces are one."""
    hidden = re.sub(r"\b[0-9a-f]{16}\b", "<hash>", line)
    return " ".join((_NUMBER if counts else re.compile(_ANY)).sub("#", hidden).split())
