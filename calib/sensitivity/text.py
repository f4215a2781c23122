"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """Rows of cells as aligned lines; the first `left` columns stand to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def in_points(fraction: float | None) -> str:
    """A difference of mAP in points, with its sign; "-" where there is none."""
    return "-" if fraction is None else f"{100 * fraction:+.2f}"
