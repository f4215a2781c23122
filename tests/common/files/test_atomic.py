"""Files and folders are made beside their place: whole or not at all, by the umask, over nothing that is not theirs."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mambapro.common.files import atomic as files
from mambapro.common.files import exchange as renames
from mambapro.common.files.atomic import staged_folder, write_atomically, write_together
from mambapro.common.files.exchange import exchange, rename_new
from mambapro.errors import InputError, SetupError


def test_left_over_stages_are_cleared(tmp_path: Path) -> None:
    """The next write to the same place removes what nobody holds; other names and stages in use stay."""
    left, other = tmp_path / ".x.abcd1234.partial", tmp_path / ".x.y.abcd1234.partial"
    for folder in (left, other):
        (folder / "content" / "deep").mkdir(parents=True)

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


@contextmanager
def umask(value: int) -> Iterator[None]:
    """The process's umask for a while."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def text(content: str) -> files.Write:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002, 0o022])
class TestModes:
    def test_of_files(self, tmp_path: Path, mask: int) -> None:
        """A new file has what the umask leaves of 0666, whatever mode the writer gave it or an old file had."""
        old = tmp_path / "old"
        old.write_text("old")
        old.chmod(0o640)

        def private(path: Path) -> None:
            path.unlink()
            path.write_text("new")
            path.chmod(0o600)

        with umask(mask):
            write_atomically(tmp_path / "new", text("new"))
            write_atomically(tmp_path / "private", private)
            write_atomically(old, text("new"))

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == dict.fromkeys(("new", "private", "old"), 0o666 & ~mask)

    def test_of_folders(self, tmp_path: Path, mask: int) -> None:
        """Folders have what the umask leaves of 0777, those on the way too; what is in them follows it as well."""
        with umask(mask), staged_folder(tmp_path / "way" / "x") as stage:
            (stage / "a").touch()

        modes = [stat.S_IMODE((tmp_path / "way" / name).stat().st_mode) for name in ("", "x", "x/a")]
        assert modes == [0o777 & ~mask, 0o777 & ~mask, 0o666 & ~mask]


def test_the_group_of_a_shared_folder_is_kept(tmp_path: Path) -> None:
    """In a folder with the setgid bit new folders have the bit and its group, and files the group."""
    group = next((found for found in (*os.getgroups(), 1) if found != os.getegid()), os.getegid())
    try:
        os.chown(tmp_path, -1, group)
    except PermissionError:
        group = tmp_path.stat().st_gid
    tmp_path.chmod(0o2775)

    write_atomically(tmp_path / "file", text("x"))
    with staged_folder(tmp_path / "folder") as stage:
        (stage / "a").touch()

    assert {(tmp_path / name).stat().st_gid for name in ("file", "folder", "folder/a")} == {group}
    assert (tmp_path / "folder").stat().st_mode & stat.S_ISGID


@pytest.fixture(params=("flag", "second name", "plain rename"))
def renaming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the system offers to take a free name: the call for it, links, or nothing."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if request.param != "flag":
        monkeypatch.setattr(renames, "_rename_flagged", lambda source, target, flag: False)
    if request.param == "plain rename":
        monkeypatch.setattr(os, "link", fail)
    return str(request.param)


class TestNeverOver:
    def test_a_file_that_appears_meanwhile(self, tmp_path: Path, renaming: str) -> None:
        """It stays, the error is the usual one, and nothing else is left."""
        target = tmp_path / "x.npz"

        def write(path: Path) -> None:
            path.write_text("ours")
            target.write_text("theirs")

        with pytest.raises(InputError, match=r"exists already.*--overwrite"):
            write_atomically(target, write, overwrite=False)

        assert [path.name for path in tmp_path.iterdir()] == ["x.npz"] and target.read_text() == "theirs"

    def test_at_the_moment_of_the_rename(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that appears after the last look is not replaced either."""
        target = tmp_path / "x.npz"

        def late(source: Path, place: Path) -> None:
            target.write_text("theirs")
            rename_new(source, place)

        monkeypatch.setattr(files, "rename_new", late)

        with pytest.raises(InputError, match="exists already"):
            write_atomically(target, text("ours"), overwrite=False)
        with pytest.raises(InputError, match="exists already"), staged_folder(target.with_name("y")):
            target.with_name("y").mkdir()
            (target.with_name("y") / "theirs").touch()

        assert target.read_text() == "theirs" and [p.name for p in (tmp_path / "y").iterdir()] == ["theirs"]

    def test_one_of_many_writers_succeeds(self, tmp_path: Path, renaming: str) -> None:
        """All begin before the first ends: one file is whole and its writer alone is told of success."""
        if renaming == "plain rename":
            pytest.skip("the name is looked at just before, which is no promise")
        together, done = threading.Barrier(8), []

        def write(number: int) -> None:
            def fill(path: Path) -> None:
                path.write_text(str(number))
                together.wait()

            try:
                write_atomically(tmp_path / "x", fill, overwrite=False)
                done.append(number)
            except InputError:
                pass

        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert [(tmp_path / "x").read_text()] == list(map(str, done))
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    def test_a_folder_that_became_foreign(self, tmp_path: Path, stepping: bool) -> None:
        """What somebody put into an empty folder meanwhile is still there, though it was to be replaced."""
        target = tmp_path / "x"
        target.mkdir()

        with (
            pytest.raises(InputError, match="holds other things"),
            staged_folder(target, overwrite=True, replaceable=lambda folder: False),
        ):
            (target / "theirs").touch()

        assert [path.name for path in target.iterdir()] == ["theirs"] and list(tmp_path.iterdir()) == [target]

    def test_a_folder_that_became_foreign_at_the_last_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The names change places, and back again when it is seen what came out."""
        target = tmp_path / "x"
        target.mkdir()
        times = []

        def late(one: Path, other: Path) -> bool:
            if not times:
                (target / "theirs").touch()
            times.append(1)
            return exchange(one, other)

        monkeypatch.setattr(files, "exchange", late)
        if not exchange(tmp_path, tmp_path):
            pytest.skip("this file system cannot let names change places")

        with (
            pytest.raises(InputError, match="holds other things"),
            staged_folder(target, overwrite=True, replaceable=lambda folder: False),
        ):
            pass

        assert [path.name for path in target.iterdir()] == ["theirs"] and len(times) == 2

    def test_the_working_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is never replaced, nor is a folder around it, though both are known as ours."""
        inner = tmp_path / "x" / "inner"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)

        for target in (inner, inner.parent):
            with (
                pytest.raises(InputError, match="is not replaced"),
                staged_folder(target, overwrite=True, replaceable=lambda folder: True),
            ):
                pytest.fail("it was begun")


class TestTogether:
    def test_none_stays_alone(self, tmp_path: Path) -> None:
        """The second name is taken meanwhile: the first file goes again, and the other's stays."""

        def write(path: Path) -> None:
            path.write_text("ours")
            (tmp_path / "b").write_text("theirs")

        with pytest.raises(InputError, match="b exists already"):
            write_together({tmp_path / "a": text("ours"), tmp_path / "b": write}, overwrite=False)

        assert [path.name for path in tmp_path.iterdir()] == ["b"] and (tmp_path / "b").read_text() == "theirs"

    def test_all_are_complete_first(self, tmp_path: Path) -> None:
        """The second cannot be written: the first has not got its name."""

        def fail(path: Path) -> None:
            assert not (tmp_path / "a").exists()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write_together({tmp_path / "a": text("ours"), tmp_path / "b": fail})

        assert list(tmp_path.iterdir()) == []


class TestNoRoom:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
    def test_is_told_as_it_is(self, tmp_path: Path, number: int) -> None:
        """A full disk, a quota and a limit on files are SetupError; the words say what is there, and that is so."""

        def fail(path: Path) -> None:
            path.write_text("half")
            raise OSError(number, os.strerror(number))

        with pytest.raises(SetupError, match=f"No room.*{os.strerror(number)}.*was not written"):
            write_atomically(tmp_path / "x", fail)
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "x").write_text("old")
        with pytest.raises(SetupError, match="is as it was before"):
            write_atomically(tmp_path / "x", fail)
        assert (tmp_path / "x").read_text() == "old" and len(list(tmp_path.iterdir())) == 1

    def test_under_a_real_limit(self, tmp_path: Path) -> None:
        """The size of files is limited by the system."""
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(SetupError, match="ulimit -f"), staged_folder(tmp_path / "x") as stage:
                (stage / "a").write_bytes(bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert list(tmp_path.iterdir()) == []

    def test_open_files_are_a_limit_of_the_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No file can be opened any more: SetupError that names the limit, and nothing is left."""

        def fail(*_: object, **__: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(files, "sync_file", fail)
        with pytest.raises(SetupError, match="ulimit -n"):
            write_atomically(tmp_path / "x", text("x"))

        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []


def test_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is synchronised before the rename, the folder after it; of a folder all files are."""
    events: list[str] = []
    sync, rename = os.fsync, os.replace

    def told(handle: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(source: Path, target: Path) -> None:
        events.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setattr(os, "replace", replaced)
    write_atomically(tmp_path / "x", text("x"))
    assert events == ["file", "rename", "folder"]

    events.clear()
    with staged_folder(tmp_path / "y") as stage:
        for number in range(3):
            (stage / "deep").mkdir(exist_ok=True)
            (stage / "deep" / str(number)).touch()
    assert events.count("file") == 3 and events[-1] == "folder"


def test_what_a_killed_write_left_goes_with_the_next(tmp_path: Path) -> None:
    """A scratch folder that nobody holds is removed; users' hidden files and folders of such names stay."""
    (tmp_path / ".x.npz.abcd1234.partial" / "content").mkdir(parents=True)
    (tmp_path / ".x.npz.abcd1234.partial" / "content" / "x.npz").write_text("half")
    (tmp_path / ".x.npz.mynotes1.partial" / "important").mkdir(parents=True)
    for name in (".x.abcd1234.npz", ".x.npz.abcd1235.partial"):
        (tmp_path / name).write_text("a user's own")

    write_atomically(tmp_path / "x.npz", text("x"))

    kept = {".x.npz.mynotes1.partial", ".x.abcd1234.npz", ".x.npz.abcd1235.partial", "x.npz"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_long_names(tmp_path: Path) -> None:
    """The scratch folder's name is cut, between two characters: the longest names of a file system can be written."""
    for name in ("x" * 255, "\u540d" * 85):
        write_atomically(tmp_path / name, text("x"))
        with staged_folder(tmp_path / f"{name[:-1]}y"):
            pass

    assert len(list(tmp_path.iterdir())) == 4


def test_folders_made_on_the_way_go_on_failure(tmp_path: Path) -> None:
    """A write that fails leaves neither its file nor the folders that were made for it; those that were there stay."""
    (tmp_path / "there").mkdir()

    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "there" / "new" / "deeper" / "x.json", fail)

    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_written_json_has_no_numbers_that_are_none(number: float) -> None:
    """NaN and infinities are no JSON: they are refused before a file is begun; all else comes out indented."""
    with pytest.raises(ValueError, match="JSON"):
        files.json_text({"a": [1.0, number]})
    assert files.json_text({"a": [1.5]}) == '{\n  "a": [\n    1.5\n  ]\n}\n'
