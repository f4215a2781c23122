"""Pieces of HTML: escaped text, tables that are charts too. No scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...common.foreign_text import in_html


class Html(str):
    """Text that is HTML already; every other string is escaped where it enters the page."""

    __slots__ = ()


def html(value: str) -> Html:
    """A value as HTML."""
    return value if isinstance(value, Html) else Html(in_html(value))


def joined(parts: Iterable[str]) -> Html:
    """Pieces one after the other."""
    return Html("\n".join(html(part) for part in parts))


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph of the class `kind`."""
    return Html(f"<p{_class(kind)}>{html(text)}</p>")


def missing(*parts: str) -> Html:
    """A note that something is not there, and how to get it."""
    return Html(f'<p class="missing">{"".join(html(part) for part in parts)}</p>')


def section(name: str, heading: str, *parts: str) -> Html:
    """A section that the list of contents can name."""
    return Html(f'<section id="{in_html(name)}">\n<h2>{in_html(heading)}</h2>\n{joined(parts)}\n</section>')


def code(text: str) -> Html:
    """Something to type."""
    return Html(f"<code>{in_html(text)}</code>")


def badge(text: str, kind: str) -> Html:
    """A word in a coloured frame; `kind` is "yes", "care", "no" or "none"."""
    return Html(f'<span class="badge {kind}">{in_html(text)}</span>')


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and values."""
    listed = "\n".join(f"<dt>{in_html(name)}</dt><dd>{html(value)}</dd>" for name, value in pairs)
    return Html(f"<dl>\n{listed}\n</dl>")


def folded(summary: str, content: str) -> Html:
    """Something that a click opens."""
    return Html(f"<details><summary>{html(summary)}</summary>\n{html(content)}\n</details>")


@dataclass(frozen=True)
class Column:
    """A column of a table. `kind`: "" for numbers, "text" for words, "track" for a chart."""

    head: str
    kind: str = ""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], kind: str = "") -> Html:
    """A table whose first column heads the rows; wider than the page, it scrolls in its own frame."""
    head = "".join(f'<th scope="col"{_class(column.kind)}>{in_html(column.head)}</th>' for column in columns)
    body = "\n".join(_row(columns, row) for row in rows)
    return Html(
        f'<div class="wide"><table{_class(kind)}>\n<caption><span>{html(caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row(columns: Sequence[Column], row: Sequence[str]) -> str:
    first, *rest = row
    cells = (f"<td{_class(column.kind)}>{html(cell)}</td>" for column, cell in zip(columns[1:], rest, strict=True))
    # a row without a head goes on with what the row above is about
    kind = "" if first else ' class="more"'
    return f'<tr{kind}><th scope="row">{html(first)}</th>{"".join(cells)}</tr>'


def track(low: float, high: float, mark: float | None = None, limit: float | None = None, kind: str = "") -> Html:
    """A bar from `low` to `high`, a dot at `mark`, a line at `limit`; all are 0..1 of the column's width.

    The numbers stand beside it as text, so that it is hidden from screen readers.
    """
    low, high = (min(max(value, 0.0), 1.0) for value in (low, high))
    parts = [f'<i class="bar {kind}" style="left:{100 * low:.2f}%;width:{100 * max(high - low, 0):.2f}%"></i>']
    for name, value in (("limit", limit), ("dot " + kind, mark)):
        if value is not None:
            parts.append(f'<i class="{name}" style="left:{100 * min(max(value, 0.0), 1.0):.2f}%"></i>')
    return Html(f'<span class="axis" aria-hidden="true">{"".join(parts)}</span>')


def _class(kind: str) -> str:
    return f' class="{in_html(kind)}"' if kind else ""


def points(fraction: float) -> str:
    """A difference of fractions in points, with its sign: 0.0123 -> "+1.23"."""
    # rounded first, so that what is nothing has no minus
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"


def small(value: float) -> str:
    """A departure: 0.000123 -> "1.2e-04"."""
    return f"{value:.1e}" if value else "0"
