"""Commands and outputs in a page of Markdown, and the comparison of an output with the page.

A block of code is checked if one of its lines begins with a command (`$ ` in fenced blocks). An HTML comment directly
before the block sets options, one `key: value` per line:

    <!-- check
    skip: reason why the check cannot run the block
    setup: shell command to run before the block; may be repeated
    varies: regular expression of lines of which only the first word is compared; may be repeated
    may: regular expression of lines that the output may contain in addition; may be repeated
    exit: exit code of the block's last command
    -->

A comment of one line has one option: `<!-- check skip: needs a GPU -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: First words of command lines.
PROGRAMS = ("mambapro", "mambapro-export", "make", "pytest", "python", "pip", "torchrun")
_COMMENT = re.compile(r"<!-- check\s((?:(?!-->).)*)-->\s*\Z", re.DOTALL)
#: Words after a count, which is the same on every machine.
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
    """A block of commands: its page, line number and options."""

    page: str
    number: int
    commands: tuple[Command, ...]
    skip: str | None = None
    setup: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    exit: int = 0


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of commands of a page, in order.

    Raises:
        ValueError: an unknown key in a comment.
    """
    text = page.read_text(encoding="utf-8")
    for code in re.finditer(r"^```(\w*)\n((?:.*\n)*?)```$|(?:^    .*\S.*\n)+", text, re.MULTILINE):
        body = code[2] if code[2] is not None else re.sub(r"^    ", "", code[0], flags=re.MULTILINE)
        commands = tuple(_commands(body.splitlines()))
        if code[1] != "python" and commands:
            before = text[: code.start()]
            yield Block(page.name, before.count("\n") + 1, commands, **_options(before, page))


def _commands(lines: Sequence[str]) -> Iterator[Command]:
    """Yield lines that begin with `$ ` or a program, joined at trailing backslashes, with the output below each."""
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


def _options(before: str, page: Path) -> dict[str, Any]:
    """Fields of a Block from the comment at the end of the text before it."""
    options: dict[str, Any] = {}
    comment = _COMMENT.search(before)
    for line in comment[1].strip().splitlines() if comment else ():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("setup", "varies", "may"):
            options[key] = (*options.get(key, ()), value)
        elif key in ("skip", "exit"):
            options[key] = int(value) if key == "exit" else value
        else:
            raise ValueError(f"{page}: unknown key {key!r} in a comment of the check")
    return options


def differences(shown: Sequence[str], found: Sequence[str], block: Block, counts: bool = True) -> list[str]:
    """Compare the output in a page with that of a run; returns the differences.

    Words must be equal. Numbers are free except counts (`counts`), widths of columns are free, and a line `...` stands
    for any lines.
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
    """Compare two lines except for numbers, widths, and text that `(...)` replaces."""
    if any(re.search(pattern, shown) for pattern in varies):
        return shown.split()[:1] == found.split()[:1]
    pattern = re.escape(masked(shown, counts)).replace(re.escape("(...)"), r"\(.*\)")
    return re.fullmatch(pattern, masked(found, counts)) is not None


def masked(line: str, counts: bool = True) -> str:
    """Replace numbers by `#` and runs of spaces by one."""
    hidden = re.sub(r"\b[0-9a-f]{16}\b", "<hash>", line)
    return " ".join((_NUMBER if counts else re.compile(_ANY)).sub("#", hidden).split())
