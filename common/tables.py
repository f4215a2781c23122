"""Rows of text as a table for a terminal or for Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns under their heads, two spaces apart; the first `left` columns start left, the others end right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The same for Markdown."""
    rule = ["---" if column < left else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def number(value: float | None, digits: int) -> str:
    """A value with so many digits behind the point; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"
