"""Folders that are made beside their place: what a killed process left is cleared, what is in use is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from mambapro.runtime.files import staged_folder


def test_left_over_stages_are_cleared(tmp_path: Path) -> None:
    """The next write to the same place removes what nobody holds; other names and stages in use stay."""
    left, other = tmp_path / ".x.abcd1234.partial", tmp_path / ".x.y.abcd1234.partial"
    for folder in (left, other):
        (folder / "deep").mkdir(parents=True)

    with staged_folder(tmp_path / "x") as first:
        with staged_folder(tmp_path / "x", overwrite=True) as second:
            assert first.is_dir() and second.is_dir() and not left.exists()
            (first / "a").touch()
        (tmp_path / "x").rmdir()

    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "x"]
    assert (tmp_path / "x" / "a").is_file() and (tmp_path / "x").stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    """An exception removes the stage and the folders made on the way."""
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "new" / "x") as stage:
        (stage / "a").touch()
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []
