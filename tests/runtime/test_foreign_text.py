"""Foreign text on a terminal: nothing of it acts, nothing floods."""

from __future__ import annotations

import pytest
from mambapro.runtime.foreign_text import LIMIT, LONGEST_MESSAGE, escaped, in_html, shown_message, shown_text


class TestShownText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("cam1/größe 画像.jpg", "cam1/größe 画像.jpg"),
            ("\x1b[2J\x07", "\\x1b[2J\\x07"),
            ("a\nb\r", "a\\nb\\r"),
            ("\x9b31m", "\\x9b31m"),
            ("abc\u202egpj", "abc\\u202egpj"),
            ("b\udce9d", "b\\udce9d"),
        ],
    )
    def test_escapes(self, text: str, shown: str) -> None:
        """Letters stay, whatever acts on a terminal or cannot be encoded is spelt out."""
        assert shown_text(text) == shown

    def test_length(self) -> None:
        """The first characters, then a count."""
        assert shown_text("x" * 100_000) == "x" * LIMIT + f"... ({100_000 - LIMIT} more characters)"
        assert shown_text("x" * LIMIT) == "x" * LIMIT
        assert shown_text(12.5) == "12.5"


def test_kept_characters() -> None:
    """A whole message keeps its line breaks."""
    assert escaped("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_message() -> None:
    """Lines stay lines, words without end are cut, and so is a message without end."""
    assert shown_message("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert shown_message("a " + "x" * 501 + " b") == f"a {'x' * 500}... (1 more characters) b"
    assert shown_message("ab " * 50_000) == ("ab " * 50_000)[:LONGEST_MESSAGE] + "... (130000 more characters)"


def test_html() -> None:
    """Markup and what changes the writing direction are text."""
    assert in_html('<b a="\x1b\u202e">') == "&lt;b a=&quot;\\x1b\\u202e&quot;&gt;"
    assert len(in_html("x" * 100_000)) < 600
