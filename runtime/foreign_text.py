"""Text that others wrote (file names, keys, labels, messages of libraries) as it may be printed: safe and short."""

from __future__ import annotations

import html
import re

#: Characters of foreign text that are shown at most; the rest is counted.
LIMIT = 200
#: Letters of a word and characters of a whole message that are printed at most.
LONGEST_WORD, LONGEST_MESSAGE = 500, 20_000
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def shown_text(value: object, limit: int = LIMIT) -> str:
    """`str(value)` with every character escaped that moves a cursor, hides or cannot be encoded, cut after `limit`.

    Escaped are control and format characters (terminal escape sequences, changes of the writing direction), line
    breaks, and surrogates that stand for undecodable bytes of a file name. What is cut is counted.
    """
    text = str(value)
    rest = len(text) - limit
    kept = escaped(text[:limit])
    return kept if rest <= 0 else f"{kept}... ({rest} more characters)"


def escaped(text: str, keep: str = "") -> str:
    """`text` with what `shown_text` escapes, of any length; characters in `keep`, such as line breaks, stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def shown_message(message: object, longest: int = LONGEST_MESSAGE) -> str:
    """A whole message as it may be printed: its line breaks stay, what acts on a terminal is escaped.

    The second line of defence, for messages whose foreign parts did not pass `shown_text`, such as those of
    libraries: words beyond 500 letters and messages beyond `longest` characters are cut, and what is cut is counted.
    """
    text = escaped(str(message)[: 2 * longest], keep="\n\t")
    text = _LONG_WORD.sub(lambda found: shown_text(found[0], LONGEST_WORD), text)
    rest = max(len(text), len(str(message))) - longest
    return text if rest <= 0 else f"{text[:longest]}... ({rest} more characters)"


def in_html(text: str) -> str:
    """A text as content or attribute of an HTML page: markup and control characters escaped, long words cut."""
    return html.escape(shown_message(text))
