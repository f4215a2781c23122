"""Tables for people."""

from __future__ import annotations

from mambapro.calib.sensitivity.text import in_points, table


def test_points_are_hundredths() -> None:
    """A mAP that falls from 0.5 to 0.4875 fell by 1.25 points; the sign is always there."""
    assert in_points(0.0125) == "+1.25"
    assert in_points(-0.5) == "-50.00"
    assert in_points(0.0) == "+0.00"
    assert in_points(None) == "-"


def test_numbers_stand_to_the_right() -> None:
    """Columns are as wide as their widest cell; the first `left` are flush left."""
    text = table([("", "name", "ms"), ("1", "a", "10.0"), ("12", "long name", "9.5")])

    assert text.splitlines() == ["    name         ms", "1   a          10.0", "12  long name   9.5"]
