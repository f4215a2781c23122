"""Folders that one process holds until it ends; what killed ones left is swept, what belongs to others stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mambapro.common.files.locks import USES, held_folder, locked_file, only_process, temporary_folder
from mambapro.errors import InputError
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import MODEL


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is refused with words, through a link as well; afterwards the folder is free."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")

    with only_process(tmp_path / "run") as held:
        assert held
        for name in ("run", "link"):
            with pytest.raises(InputError, match="Another run is working"), only_process(tmp_path / name):
                pytest.fail("it was let in")

    with only_process(tmp_path / "run"):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    """Though a child that it forked lives on."""
    code = (
        "import os, signal, sys, time; from pathlib import Path; from mambapro.common.files.locks import only_process\n"
        "with only_process(Path(sys.argv[1])):\n"
        "    if not os.fork():\n"
        "        print(os.getpid(), flush=True); time.sleep(60); os._exit(0)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(InputError, match="Another run"), only_process(tmp_path):
            pytest.fail("it was let in")
        process.kill()
        process.wait()

        with only_process(tmp_path) as held:
            assert held
    finally:
        os.kill(child, 9)
        process.stdout.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to another user")
def test_another_users_folder_is_no_obstacle(tmp_path: Path) -> None:
    """It stays as it is, though nobody holds it: a folder for temporary files is for all."""
    theirs = tmp_path / "mambapro-calibrate-abcd1234.tmp"
    (theirs / "content" / "deep").mkdir(parents=True)
    os.chown(theirs, 12345, 12345)

    with held_folder(tmp_path, "mambapro-calibrate-", ".tmp") as folder:
        assert folder.is_dir()

    assert [path.name for path in tmp_path.iterdir()] == [theirs.name] and (theirs / "content" / "deep").is_dir()


def test_what_cannot_be_removed_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder too deep for rmtree stays, and the work goes on."""
    (tmp_path / "x-abcd1234.tmp" / "content").mkdir(parents=True)
    remove = shutil.rmtree

    def too_deep(path: Path, ignore_errors: bool) -> None:
        if "abcd1234" in path.name:
            raise RecursionError
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", too_deep)

    with held_folder(tmp_path, "x-", ".tmp") as folder:
        assert folder.is_dir()

    assert [path.name for path in tmp_path.iterdir()] == ["x-abcd1234.tmp"]


def test_links_and_files_of_such_names(tmp_path: Path) -> None:
    """Neither is followed nor removed."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "x-abcd1234.tmp").symlink_to("precious")
    (tmp_path / "x-abcd1235.tmp").write_text("a file")

    with held_folder(tmp_path, "x-", ".tmp"):
        pass

    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "x-abcd1234.tmp", "x-abcd1235.tmp"]


def test_copies_of_killed_processes_go(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a bundle under a name for a library: the folder that a killed process left goes with the next one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mambapro-copy-abcd1234.tmp" / "content").mkdir(parents=True)
    (tmp_path / "mambapro-copy-abcd1234.tmp" / "content" / MODEL).symlink_to("gone")

    with Bundle.open(bundle).named_copy(MODEL) as copy:
        assert copy.name == MODEL and copy.read_bytes() == (bundle / MODEL).read_bytes()
        assert not (tmp_path / "mambapro-copy-abcd1234.tmp").exists()

    assert list(tmp_path.glob("mambapro-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be held there")
@pytest.mark.parametrize("use", USES)
def test_every_use_clears_all(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on after a kill may not come to the same use again: each use clears what the others left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for other in USES:
        (tmp_path / f"mambapro-{other}-abcd1234.tmp" / "content").mkdir(parents=True)
    (tmp_path / "mambapro-unknown-abcd1234.tmp" / "content").mkdir(parents=True)

    with temporary_folder(use) as folder, temporary_folder("copy") as second:
        assert folder.is_dir() and second.is_dir()
        kept = {folder.parent.name, second.parent.name, "mambapro-unknown-abcd1234.tmp"}
        assert {path.name for path in tmp_path.iterdir()} == kept
    assert [path.name for path in tmp_path.iterdir()] == ["mambapro-unknown-abcd1234.tmp"]


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """While it is held another process does not come in."""
    code = (
        "import fcntl, sys\n"
        "try: fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('held')"
    )
    with locked_file(tmp_path / "lock"):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], capture_output=True, text=True)

    assert done.stdout == "held\n"
