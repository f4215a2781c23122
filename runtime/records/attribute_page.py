"""HTML page of crops with their attributes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common import html_pages
from ...common.foreign_text import shown_text
from ...errors import InputError
from ..data.preprocess import load_source
from ..data.sample import ImageSource
from .columns import Rows

#: Most crops of a page.
MOST_CROPS = 200
#: Largest width and height of a drawn crop in pixels.
_BOX = (96, 192)


@dataclass(frozen=True)
class Card:
    """Crop on a page: `attributes` are the assigned ones with their probabilities; None = they are not known."""

    name: str
    file: Path | None
    attributes: tuple[tuple[str, float], ...] | None
    facts: tuple[tuple[str, str], ...] = ()


@dataclass
class AttributePage:
    """Page of the first crops that are added.

    Attributes:
        path: of the HTML file.
        title: heading.
        facts: shown above the crops.
        cards: crops that are drawn.
        count: crops in all.
        query: drawn before the others.
    """

    path: Path
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    cards: list[Card] = field(default_factory=list)
    count: int = 0
    query: Card | None = None

    def add(self, rows: Rows) -> None:
        """Add rows that are written to a file of records."""
        for row in range(len(rows)):
            self.count += 1
            if len(self.cards) >= MOST_CROPS:
                continue
            file, known = rows.files[row], rows.attributes
            assigned = None
            if known is not None and known.present[row]:
                values = known.by_label(row) or {}
                assigned = tuple((name, values[name]) for name in known.names(row))
            self.cards.append(Card(rows.names[row], None if file is None else rows.folder / file, assigned))

    def text(self) -> str:
        """Render the page; fewer crops are drawn if their pictures are too large for it."""
        drawn = self.cards if self.query is None else [self.query, *self.cards]
        cards = [(card, *_picture(card.file)) for card in drawn]
        while True:
            try:
                return self._rendered(cards)
            except InputError:
                if len(cards) <= 1:
                    raise
                cards = cards[: len(cards) // 2]

    def _rendered(self, cards: Sequence[tuple[Card, bytes | None, str]]) -> str:
        crops = len(cards) - (self.query is not None)
        rest = f"The first {crops} of {self.count:,} are drawn." if self.count > crops else ""
        return html_pages.page_text(
            Path(__file__).parent / "pages",
            "Draw fewer crops.",
            title=self.title,
            facts_of_page=self.facts,
            cards=cards,
            rest=rest,
        )


def _picture(file: Path | None) -> tuple[bytes | None, str]:
    """Return a crop as a small PNG, or None and the reason."""
    if file is None:
        return None, "no RGB image"
    try:
        image = load_source(ImageSource(file), sensor="rgb")
    except InputError as error:
        return None, shown_text(error)
    image.thumbnail(_BOX)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue(), ""
