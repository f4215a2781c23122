"""Tables of text."""

from __future__ import annotations

from mambapro.common.tables import markdown_table, number, points, text_table

ROWS = [("", "name", "ms", ""), ("1", "a", "10.0", "kept"), ("12", "long name", "9.5", "")]


def test_numbers_stand_to_the_right() -> None:
    """Columns are as wide as their widest cell and two spaces apart; no line ends in spaces."""
    lines = text_table(ROWS, "<<>").splitlines()

    assert lines == ["    name         ms", "1   a          10.0  kept", "12  long name   9.5"]


def test_the_last_alignment_counts_for_further_columns() -> None:
    """By default the first column is flush left, all others right; one sign aligns all."""
    assert text_table([("a", "b", "c"), ("1", "10", "100")]) == "a   b    c\n1  10  100"
    assert text_table([("a", "b"), ("10", "20")], ">") == " a   b\n10  20"


def test_markdown_has_a_rule_under_its_head() -> None:
    """The rule says where columns stand."""
    assert markdown_table([("a", "b"), ("1", "2")]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_points_are_hundredths() -> None:
    """A mAP that falls from 0.5 to 0.4875 fell by 1.25 points; the sign is always there, and zero has no minus."""
    assert points(0.0125) == "+1.25"
    assert points(-0.5) == "-50.00"
    assert points(0.0) == points(-1e-9) == "+0.00"
    assert points(None) == number(None, 2) == "-"
