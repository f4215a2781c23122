"""Foreign text on a terminal: nothing of it acts, nothing floods."""

from __future__ import annotations

import json

import pytest
from mambapro.common.files.atomic import json_text
from mambapro.common.foreign_text import LIMIT, escaped, in_html, shown_message, shown_text
from mambapro.errors import ArtifactError, InputError


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


class TestShownMessage:
    @pytest.mark.parametrize(
        "message", ["a\n\tb\n", "the model's " + "name " * 100 + "is not PyTorch's", "/" + "x" * 299]
    )
    def test_stays(self, message: str) -> None:
        """Lines stay lines, and what is of ordinary length stays whole."""
        assert shown_message(message) == message

    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            ("a\x1b\nb", "a\\x1b\nb"),
            ("a " + "x" * 301 + " b", f"a {'x' * 300}... (1 more characters) b"),
            ("not '" + "x " * 200 + "'.", f"not '{'x ' * 149}x... (102 more characters)."),
            ("x " * 1501, "x " * 1500 + "... (2 more characters)"),
            ("x\n" * 50_000, ("x\n" * 6_000) + "... (88000 more characters)"),
        ],
        ids=["escape", "word", "quote", "line", "message"],
    )
    def test_cuts(self, message: str, shown: str) -> None:
        """Words, quoted values, lines and messages without end are cut, and the rest is counted, once."""
        assert shown_message(message) == shown
        assert len(shown_message(shown)) <= len(shown) + 40


def test_errors() -> None:
    """The message of every error of the package can be printed, in a program that uses the library too."""
    assert str(InputError("no \x1b[2J\nfile")) == "no \\x1b[2J\nfile"
    assert len(str(ArtifactError(f"the key {'k' * 100_000!r} is unknown"))) < 400


def test_html() -> None:
    """Markup and what changes the writing direction are text."""
    assert in_html('<b a="\x1b\u202e">') == "&lt;b a=&quot;\\x1b\\u202e&quot;&gt;"
    assert len(in_html("x" * 100_000)) < 600


@pytest.mark.parametrize("value", ["größe 画像", "\x1b[2J\x85\x7f\u202e", "b\udce9d", "\U000e0001", "a\nb"])
def test_json_files(value: str) -> None:
    """A file of JSON can be written whatever the names in it, acts on no terminal, and reads back as it was."""
    text = json_text({"name": value})

    assert json.loads(text.encode().decode()) == {"name": value}
    assert text.replace("\n", "").isprintable()
    assert not value.isprintable() or value in text
