"""Text that others wrote (file names, keys, labels, messages of libraries) as it may be printed: safe and short."""

from __future__ import annotations

#: Characters of foreign text that are shown at most; the rest is counted.
LIMIT = 200


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
