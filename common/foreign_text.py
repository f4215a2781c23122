"""Text that others wrote (file names, keys, labels, messages of libraries) as it may be printed: safe and short."""

from __future__ import annotations

import html
import json
import re

#: Characters of foreign text that are shown at most; the rest is counted.
LIMIT = 200
#: Characters that are printed at most of a word or a quoted value, of a line, and of a whole message.
LONGEST_WORD, LONGEST_LINE, LONGEST_MESSAGE = 300, 3_000, 12_000
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
#: A value as repr writes it; apostrophes within words are no quotes.
_LONG_QUOTE = re.compile(rf"(?<!\w)'[^'\n]{{{LONGEST_WORD + 1},}}'|(?<!\w)\"[^\"\n]{{{LONGEST_WORD + 1},}}\"")


def shown_text(value: object, limit: int = LIMIT) -> str:
    """`str(value)` with every character escaped that moves a cursor, hides or cannot be encoded, cut after `limit`.

    Escaped are control and format characters (terminal escape sequences, changes of the writing direction), line
    breaks, and surrogates that stand for undecodable bytes of a file name. What is cut is counted.
    """
    text = str(value)
    kept = escaped(text[:limit])
    rest = len(text) - limit
    return kept if rest <= 0 else f"{kept}... ({rest} more characters)"


def shown_value(value: object, limit: int = LIMIT) -> str:
    """`repr(value)` as `shown_text` shows it, of values that Python itself does not write too."""
    try:
        return shown_text(repr(value), limit)
    except (ValueError, RecursionError):
        # a whole number of more than some thousand digits, or lists in lists
        return f"a {type(value).__name__} that is too long to be shown"


def escaped(value: object, keep: str = "") -> str:
    """`str(value)` with what `shown_text` escapes, of any length; characters in `keep`, such as line breaks, stay."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def shown_message(message: object, longest: int = LONGEST_MESSAGE) -> str:
    """A whole message as it may be printed: its line breaks stay, what acts on a terminal is escaped.

    The second line of defence, for messages whose foreign parts did not pass `shown_text`, such as those of
    libraries: quoted values and words beyond 300 letters, lines beyond 3,000 and messages beyond `longest` characters
    are cut, and what is cut is counted. A message that was shown stays as it is when it is shown again.
    """
    whole = str(message)
    lines = escaped(whole[: 2 * longest], keep="\n\t").split("\n")
    text = "\n".join(_shown_line(line) for line in lines)
    rest = max(0, len(whole) - 2 * longest) + max(0, len(text) - longest)
    return text if not rest else f"{text[:longest]}... ({rest} more characters)"


def _shown_line(line: str) -> str:
    if len(line) <= LONGEST_WORD:
        return line
    for long in (_LONG_QUOTE, _LONG_WORD):
        line = long.sub(lambda found: _cut(found[0], LONGEST_WORD), line)
    return _cut(line, LONGEST_LINE)


def _cut(text: str, limit: int) -> str:
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]}... ({rest} more characters)"


def json_text_escaped(text: str) -> str:
    """JSON text whose control and format characters and lone surrogates are escapes of JSON; line breaks stay.

    Such characters stand only within strings, and what reads the JSON gets them back.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text)


def in_html(text: str) -> str:
    """A text as content or attribute of an HTML page: markup and control characters escaped, long words cut."""
    return html.escape(shown_message(text))
