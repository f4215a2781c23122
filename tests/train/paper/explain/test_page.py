"""The page: everything inside it, nothing from outside, readable without pictures, never too large."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from mambapro.common import html_pages
from mambapro.common.html_pages import MOST_BYTES
from mambapro.errors import InputError
from mambapro.train.paper.explain.page import Picture, Table, page_text
from PIL import Image

TABLE = Table("All of it.", ("name", "kind", "value"), (("a<b", "x", "+0.10"), ("c&d", "y", "-0.20")))


def noise(side: int) -> bytes:
    """A PNG that cannot be made smaller without loss."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def picture(png: bytes, photo: bool = False) -> Picture:
    """A picture whose texts need escaping."""
    return Picture("a.png", png, 'A "heading" <1>', 'What "it" shows & tells', "Caption <b>", TABLE, photo)


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_everything_is_inside() -> None:
    """Each picture is in the page byte for byte; there is no script, no link, no address of anything outside."""
    png = noise(20)
    text = page_text("Title <x>", [("data", "a & b")], [picture(png), picture(png)])
    reader = Reader(text)

    images = reader.all("img")
    assert reader.open == [] and len(images) == 2
    for image in images:
        kind, _, data = str(image["src"]).partition(";base64,")
        assert kind == "data:image/png" and base64.b64decode(data) == png
        assert image["alt"] == 'What "it" shows & tells'
        assert image["width"] == image["height"] == "13"
    assert {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object", "a"} == set()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\son\w+=", text)
    (policy,) = [meta["content"] for meta in reader.all("meta") if "http-equiv" in meta]
    assert str(policy).startswith("default-src 'none'")


def test_it_can_be_read_without_seeing() -> None:
    """Language, title, one first heading, captions, tables with heads; texts are escaped, not interpreted."""
    reader = Reader(page_text("Title <x>", [("data", "a & b")], [picture(noise(4))]))

    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("title")) == len(reader.all("h1")) == len(reader.all("main")) == 1
    assert "Title <x>" in reader.text and "Caption <b>" in reader.text and "a<b" in reader.text
    assert reader.all("b") == [] and reader.all("x") == []
    assert [head["scope"] for head in reader.all("th")] == ["col"] * 3 + ["row"] * 2
    assert len(reader.all("figcaption")) == len(reader.all("caption")) == 1
    # words stand on the left, numbers on the right
    assert [cell.get("class") for cell in reader.all("td")] == ["text", None] * 2


def test_large_photographs_become_jpeg() -> None:
    """A page that would be too large holds its photographs as JPEG, the drawings as they are."""
    large, small = noise(1200), noise(10)
    assert len(large) > 4_000_000

    text = page_text("T", [], [picture(large, photo=True), picture(small)])

    kinds = [str(image["src"]).partition(";")[0] for image in Reader(text).all("img")]
    assert kinds == ["data:image/jpeg", "data:image/png"]
    assert len(text.encode()) < MOST_BYTES


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit even so raises InputError and says what to leave out."""
    monkeypatch.setattr(html_pages, "MOST_BYTES", 30_000)

    with pytest.raises(InputError, match="fewer --rows"):
        page_text("T", [], [picture(noise(200), photo=True)])
