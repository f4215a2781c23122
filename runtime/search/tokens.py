"""Tokens of a condition on attributes, and errors at a position of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...common.foreign_text import shown_text
from ...errors import InputError

#: Most characters of a condition.
LONGEST = 10_000
#: Characters before and after the position of an error that a message shows.
_AROUND = 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<compare><=|>=|<|>)|"(?P<double>(?:[^"]|"")+)"|'(?P<single>(?:[^']|'')+)'"""
    r"""|(?P<word>[^\s()<>="'!&|]+))"""
)
_KEYWORDS = ("and", "or", "not")


@dataclass(frozen=True)
class Token:
    """Token: `kind` is "(", ")", "compare", "label", "end" or a keyword; `at` counts characters from 0."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a condition, "end" last.

    Raises:
        InputError: too long, or a character that begins no token.
    """
    if len(text) > LONGEST:
        raise InputError(f"The condition has {len(text):,} characters; at most {LONGEST:,} are read.")
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise error_at(text, at, _advice(text[at]))
        kind = match.lastgroup or ""
        yield _token(kind, match[kind], match.start(kind) - (kind in ("double", "single")))
        at = match.end()
    yield Token("end", "", end)


def error_at(text: str, at: int, why: str) -> InputError:
    """Return the error for a position of a condition, with the text around it and a mark."""
    start = max(0, at - _AROUND)
    before, after = shown_text(text[start:at]), shown_text(text[at : at + _AROUND])
    dots = "..." * (start > 0)
    return InputError(
        f"The condition cannot be read at character {at + 1}: {why}\n  {dots}{before}{after}\n"
        f"  {' ' * (len(dots) + len(before))}^"
    )


def _token(kind: str, text: str, at: int) -> Token:
    if kind in ("open", "close"):
        return Token(text, text, at)
    if kind in ("double", "single"):
        quote = '"' if kind == "double" else "'"
        return Token("label", text.replace(2 * quote, quote), at)
    if kind == "word":
        return Token(text.lower() if text.lower() in _KEYWORDS else "label", text, at)
    return Token(kind, text, at)


def _advice(character: str) -> str:
    if character in "\"'":
        return "the quotes are not closed, or hold nothing."
    return f"{shown_text(character)!r} has no meaning here. Write and, or, not, parentheses, <, <=, > and >=."
