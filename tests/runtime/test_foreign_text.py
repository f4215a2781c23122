"""Foreign text on a terminal: nothing of it acts, nothing floods."""

from __future__ import annotations

import pytest
from mambapro.runtime.foreign_text import LIMIT, escaped, shown_text


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
