"""Safe, bounded display of foreign text: file names, keys, labels, messages of libraries."""

from __future__ import annotations

import html
import json
import re

#: Largest number of shown characters of foreign text; the rest is counted.
LIMIT = 200
#: Largest number of printed characters of a word or a quoted value, of a line, and of a message.
LONGEST_WORD, LONGEST_LINE, LONGEST_MESSAGE = 300, 3_000, 12_000
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
#: Value as written by repr; apostrophes within words are no quotes.
_LONG_QUOTE = re.compile(rf"(?<!\w)'[^'\n]{{{LONGEST_WORD + 1},}}'|(?<!\w)\"[^\"\n]{{{LONGEST_WORD + 1},}}\"")


def shown_text(value: object, limit: int = LIMIT) -> str:
    """Return `str(value)` with characters escaped that move a cursor, hide or cannot be encoded, cut after `limit`.

    Escaped are control and format characters (terminal escape sequences, changes of the writing direction), line
    breaks, and surrogates of undecodable bytes of a file name. The number of cut characters is added.
    """
    text = str(value)
    shortened = escaped(text[:limit])
    rest = len(text) - limit
    return shortened if rest <= 0 else f"{shortened}... ({rest} more characters)"


def shown_value(value: object, limit: int = LIMIT) -> str:
    """Return `repr(value)` as `shown_text` shows it, also of values that repr rejects."""
    try:
        return shown_text(repr(value), limit)
    except (ValueError, RecursionError):
        # an integer of more than some thousand digits, or nested lists
        return f"a {type(value).__name__} that is too long to be shown"


def escaped(value: object, keep: str = "") -> str:
    """Return `str(value)` with the escapes of `shown_text`, of any length; characters in `keep` (line breaks) stay."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def shown_message(message: object, longest: int = LONGEST_MESSAGE) -> str:
    """Return a whole message for printing: line breaks stay, terminal control characters are escaped.

    This is the second line of defense, for messages with foreign parts that did not pass `shown_text`, such as those of
    libraries: quoted values and words beyond 300 letters, lines beyond 3,000 and messages beyond `longest` characters
    are cut, with the number of cut characters. The function is idempotent.
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
        line = long.sub(lambda match: _cut(match[0], LONGEST_WORD), line)
    return _cut(line, LONGEST_LINE)


def _cut(text: str, limit: int) -> str:
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]}... ({rest} more characters)"


def json_text_escaped(text: str) -> str:
    """Return JSON text with control and format characters and lone surrogates as JSON escapes; line breaks stay.

    Such characters occur only within strings, and are restored by parsing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text)


def in_html(text: str) -> str:
    """Return a text as content or attribute of an HTML page: markup and control characters escaped, long words cut."""
    return html.escape(shown_message(text))
