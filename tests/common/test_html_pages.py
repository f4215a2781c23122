"""Pages from templates: foreign text is escaped, pictures are inside, nothing is left out silently."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2", reason="pages need jinja2, which a device lacks")

from mambapro.common.html_pages import image_tag, page_text  # noqa: E402 - after what it needs
from PIL import Image  # noqa: E402

ROOT = Path(__file__).parents[2]
TEMPLATES = [path for folder in ("common", "export", "train") for path in (ROOT / folder).rglob("pages/*.html")]
BAD, ESCAPED = '<b title="x">&', "&lt;b title=&#34;x&#34;&gt;&amp;"


def page(folder: Path, main: str, **values: object) -> str:
    """The part of a page that its template adds to the base."""
    head = '{% extends "base.html" %}{% from "macros.html" import facts, table %}{% block main %}'
    (folder / "page.html").write_text(f"{head}{main}{{% endblock %}}")
    return page_text(folder, "Show less.", title="t", **values).split("<main>")[1].split("</main>")[0]


@pytest.mark.parametrize(
    "main",
    ("{{ bad }}", '<p title="{{ bad }}"></p>', "{{ facts([(bad, bad)]) }}", "{% call table(bad, [bad]) %}{% endcall %}",
     "{{ [bad, bad] | join(bad) }}", "{{ '%s' % bad }}", "{% set x = bad ~ 1 %}{{ x }}"),
)  # fmt: skip
def test_text_is_escaped_wherever_it_enters(main: str, tmp_path: Path) -> None:
    """Content, attributes, macros and composed texts hold the text, never its markup."""
    text = page(tmp_path, main, bad=BAD)

    assert ESCAPED in text and BAD not in text


def test_what_acts_on_a_terminal_or_hides_is_shown(tmp_path: Path) -> None:
    """Control characters and changes of the writing direction are written out; very long words are cut and counted."""
    text = page(tmp_path, "{{ bad }}", bad="a\x1b[1m\u202e" + "w" * 900)

    assert r"a\x1b[1m\u202e" in text and "more characters" in text and len(text) < 500


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_switches_escaping_off(path: Path) -> None:
    """Only the page's own markup is not escaped."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"\bsafe\b|autoescape|<script", text)


def test_a_variable_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A template that asks for what is not there does not print nothing."""
    with pytest.raises(jinja2.UndefinedError, match="absent"):
        page(tmp_path, "{{ absent }}")


def test_a_picture_is_described_and_scaled() -> None:
    """Its size is in CSS pixels, its alternative text is escaped; as JPEG only where a quality is given."""
    file = io.BytesIO()
    Image.new("RGB", (100, 50)).save(file, "PNG")

    tag = image_tag(file.getvalue(), BAD)

    assert tag.startswith('<img src="data:image/png;base64,') and f'width="64" height="32" alt="{ESCAPED}"' in tag
    assert "data:image/jpeg" in image_tag(file.getvalue(), "", quality=80, scale=1.0)
