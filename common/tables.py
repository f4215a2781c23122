"""Rows of text as a table for a terminal or for Markdown, and numbers as its cells."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "<>") -> str:
    """Format rows as lines, with columns two spaces apart and as wide as their widest cell.

    `align` has "<" (left) or ">" (right) for each column; its last one counts for all further columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = align.ljust(len(widths), align[-1])
    return "\n".join(
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=False)).rstrip()
        for row in rows
    )


def markdown_table(rows: Sequence[Sequence[str]], align: str = "<>") -> str:
    """Format rows as a Markdown table; the first row is its head."""
    head, *rest = rows
    rule = ["---" if side == "<" else "---:" for side in align.ljust(len(head), align[-1])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rest))


def number(value: float | None, digits: int) -> str:
    """Format a value with `digits` decimals; "-" for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def points(fraction: float | None) -> str:
    """Format a difference of fractions in points, with its sign: 0.0123 -> "+1.23"; "-" for None."""
    # rounded first, so that a difference that rounds to zero has no minus
    return "-" if fraction is None else f"{round(100 * fraction, 2) + 0.0:+.2f}"
