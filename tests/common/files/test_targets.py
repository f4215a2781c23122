"""Places that results may be written to: devices, links, bundles and the kernel's own folders are told apart."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
from mambapro.common.files import targets
from mambapro.common.files.atomic import make_folder, staged_folder, write_atomically, write_together
from mambapro.common.files.targets import require_free
from mambapro.errors import InputError, SetupError
from mambapro.runtime.bundle.checksums import METADATA, SUMS


def write(path: Path) -> None:
    path.write_text("new")


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    """A FIFO, a socket and, where that is allowed, a device that nobody uses, by the word for them."""
    folder = tmp_path / "special"
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        # such names have a hundred characters at most
        os.chdir(folder)
        bound.bind("socket")
        os.chdir(here)
    found = {"a FIFO": folder / "fifo", "a socket": folder / "socket"}
    try:
        os.mknod(folder / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        return found
    return {**found, "a device": folder / "null"}


def test_special_files_stay(special: dict[str, Path], tmp_path: Path) -> None:
    """Each is refused by its name, with and without --overwrite, itself and through a link, for files and folders."""
    for word, path in special.items():
        before = path.lstat()
        link = tmp_path / f"{path.name}.link"
        link.symlink_to(path)
        for target in (path, link):
            with pytest.raises(InputError, match=f"is {word}, which is never replaced"):
                write_atomically(target, write)
        with pytest.raises(InputError, match=f"is {word}, which is never replaced"):
            write_atomically(path, write, overwrite=False)
        with (
            pytest.raises(InputError, match=f"is {word}"),
            staged_folder(path, overwrite=True, replaceable=lambda folder: True),
        ):
            pytest.fail("it was begun")
        after = path.lstat()
        assert (after.st_mode, after.st_ino, after.st_rdev) == (before.st_mode, before.st_ino, before.st_rdev)
        assert link.is_symlink()


class TestLinks:
    def test_to_a_file(self, tmp_path: Path) -> None:
        """The link stays, the file it leads to is replaced beside itself; several links on the way as well."""
        store = tmp_path / "store"
        store.mkdir()
        (store / "v1.npz").write_text("old")
        (tmp_path / "middle").symlink_to(Path("store") / "v1.npz")
        (tmp_path / "latest.npz").symlink_to("middle")

        write_atomically(tmp_path / "latest.npz", write)

        assert (tmp_path / "latest.npz").readlink() == Path("middle") and (tmp_path / "middle").is_symlink()
        assert (store / "v1.npz").read_text() == "new" and not (store / "v1.npz").is_symlink()
        assert [path.name for path in store.iterdir()] == ["v1.npz"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.npz", "middle", "store"]

    def test_out_of_a_folder_that_takes_no_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The folder of the file that a link leads to has to take files, not that of the link."""
        (tmp_path / "closed").mkdir()
        (tmp_path / "result").touch()
        (tmp_path / "closed" / "link").symlink_to(tmp_path / "result")
        monkeypatch.setattr(targets.os, "access", lambda path, mode: Path(path).name != "closed")
        tried: list[Path] = []
        monkeypatch.setattr(targets, "TemporaryFile", lambda **where: tried.append(where["dir"]) or nullcontext())

        require_free(tmp_path / "closed" / "link", True)

        assert tried == []
        require_free(tmp_path / "closed" / "other", True)
        assert tried == [tmp_path / "closed"]

    def test_without_overwrite(self, tmp_path: Path) -> None:
        """A link that leads nowhere is something that exists."""
        (tmp_path / "x").symlink_to("nowhere")

        with pytest.raises(InputError, match="exists already"):
            write_atomically(tmp_path / "x", write, overwrite=False)
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize(
        ("target", "words"),
        [("nowhere", "does not exist"), ("x", "in a circle"), ("folder", "to the folder"), ("/dev/null", "/dev")],
    )
    def test_that_are_refused(self, tmp_path: Path, target: str, words: str) -> None:
        """Nowhere, a circle, a folder, a device: refused by name, and the link stays."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "x").symlink_to(target)

        with pytest.raises(InputError, match=words):
            write_atomically(tmp_path / "x", write)
        assert (tmp_path / "x").readlink() == Path(target)

    def test_for_folders(self, tmp_path: Path) -> None:
        """A link is never replaced by a folder, not even one to a folder of ours."""
        (tmp_path / "real").mkdir()
        (tmp_path / "x").symlink_to("real")

        with (
            pytest.raises(InputError, match="is a link"),
            staged_folder(tmp_path / "x", overwrite=True, replaceable=lambda folder: True),
        ):
            pytest.fail("it was begun")
        assert (tmp_path / "x").is_symlink()

    def test_of_another_user(self, tmp_path: Path) -> None:
        """In a folder for all a link that another user made is not followed."""
        if os.geteuid() != 0:
            pytest.skip("only root can make another user's link")
        shared = tmp_path / "tmp"
        shared.mkdir()
        shared.chmod(0o1777)
        (tmp_path / "precious").write_text("old")
        (shared / "x").symlink_to(tmp_path / "precious")
        os.lchown(shared / "x", 12345, 12345)

        with pytest.raises(InputError, match="another user"):
            write_atomically(shared / "x", write)
        assert (tmp_path / "precious").read_text() == "old"


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/new.npz", "/sys/x"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_kernels_own_folders(name: str, overwrite: bool) -> None:
    """Results are not streamed into devices, however standard output was opened: the words say why."""
    with pytest.raises(InputError, match=r"the system's and takes no new files|is a device"):
        require_free(Path(name), overwrite)


@pytest.mark.parametrize("where", ["result", "new/folder/result"])
def test_folders_that_take_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """SetupError with the system's reason before any work, also for folders that would have to be made."""
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(targets.os, "access", lambda path, mode: Path(path) != closed)

    def refuse(dir: Path) -> None:  # noqa: A002 - its name in tempfile
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    monkeypatch.setattr(targets, "TemporaryFile", refuse)
    require_free(tmp_path / where, False)

    with pytest.raises(SetupError, match=r"Cannot write .*result: Read-only file system"):
        require_free(closed / where, False)


class TestBundles:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        """A folder that looks like one."""
        folder = tmp_path / "m.mambapro"
        (folder / "deep").mkdir(parents=True)
        for name in (METADATA, SUMS):
            (folder / name).write_text("{}")
        return folder

    @pytest.mark.parametrize("where", ["x", "deep/x", "new/way/x", METADATA])
    def test_nothing_is_written_into_one(self, bundle: Path, where: str, tmp_path: Path) -> None:
        """Files, folders and folders on the way are refused at any depth, through a link as well."""
        (tmp_path / "alias").symlink_to(bundle)
        before = sorted(bundle.rglob("*"))

        for folder in (bundle, tmp_path / "alias"):
            with pytest.raises(InputError, match="lies in the bundle"):
                write_atomically(folder / where, write)
            with pytest.raises(InputError, match="lies in the bundle"):
                write_together({tmp_path / "first": write, folder / where: write})
            with pytest.raises(InputError, match="lies in the bundle"), staged_folder(folder / where, overwrite=True):
                pytest.fail("it was begun")
            with pytest.raises(InputError, match="lies in the bundle"):
                make_folder(folder / where)

        assert sorted(bundle.rglob("*")) == before and not (tmp_path / "first").exists()

    def test_but_its_own_files(self, bundle: Path) -> None:
        """What belongs to it is replaced in it."""
        write_atomically(bundle / SUMS, write, in_bundle=True)

        assert (bundle / SUMS).read_text() == "new"
