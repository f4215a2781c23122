"""Page of `mambapro explain`: every picture with its caption and its numbers, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....common import html_pages


@dataclass(frozen=True)
class Table:
    """Numbers of a picture as text; the first cell of a row is its header."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Pairs (header, "text" for words or "" for numbers), one for each column."""
        first = self.rows[0]
        return [
            (head, "text" if any(char.isalpha() for char in cell) else "")
            for head, cell in zip(self.header, first, strict=True)
        ]


@dataclass(frozen=True)
class Picture:
    """Picture with its heading, caption, alternative text and numbers.

    `name` is that of its file; a `photo` may be embedded as JPEG.
    """

    name: str
    png: bytes
    heading: str
    alt: str
    caption: str
    table: Table
    photo: bool = False


def page_text(title: str, facts: Sequence[tuple[str, str]], pictures: Sequence[Picture]) -> str:
    """Render the page as HTML.

    Raises:
        InputError: too large even with photographs as JPEG.
    """
    advice = "Give fewer --rows or fewer --ckpt, or leave pictures out with --only."
    folder = Path(__file__).parent / "pages"
    return html_pages.page_text(folder, advice, title=title, facts_of_page=facts, pictures=pictures)
