"""Folders that are made beside their place: what a killed process left is cleared, what is in use is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mambapro.errors import InputError
from mambapro.runtime import files
from mambapro.runtime.exchange import exchange
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


@pytest.fixture(params=(True, False), ids=("in one step", "where the system cannot"))
def stepping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system lets two names change places."""
    if not request.param:
        monkeypatch.setattr(files, "exchange", lambda one, other: False)
    return request.param


def test_a_folder_is_replaced(tmp_path: Path, stepping: bool) -> None:
    """The new content is there, the old is gone, and so is everything that helped."""
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("old")

    with staged_folder(target, overwrite=True, replaceable=lambda folder: True) as stage:
        (stage / "new").write_text("new")

    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_names_change_places(tmp_path: Path) -> None:
    """Both names exist at every moment: a reader that looks all the time never misses one."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a").touch()
    if not exchange(one, other):
        pytest.skip("this file system cannot let names change places")
    stop, missed = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            missed.extend(path for path in (one, other) if not path.exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(501):
        exchange(one, other)
    stop.set()
    watcher.join()

    assert not missed
    # an even number of times in all
    assert (one / "a").exists() and not (other / "a").exists()


def test_what_is_missing_cannot_change_places(tmp_path: Path) -> None:
    """As os.rename says it."""
    (tmp_path / "one").mkdir()
    if not exchange(tmp_path / "one", tmp_path / "one"):
        pytest.skip("this file system cannot let names change places")

    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "other")


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    """InputError before the work, even with overwrite: it may be the checkpoint that the folder is made of."""
    (tmp_path / "best.pth").write_text("weights")

    with (
        pytest.raises(InputError, match="files are not replaced by folders"),
        staged_folder(tmp_path / "best.pth", overwrite=True, replaceable=lambda folder: True),
    ):
        pytest.fail("it was begun")
    assert (tmp_path / "best.pth").read_text() == "weights"
