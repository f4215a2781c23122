"""The folder of a training: held by one run, and only what a run leaves is touched in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from mambapro.errors import InputError, SetupError
from mambapro.train.engine import open_files_limit, state
from mambapro.train.engine.open_files_limit import require_open_files
from mambapro.train.engine.run_files import RunFiles
from mambapro.train.engine.run_folder import FILES, run_folder
from mambapro.train.engine.state import State, read_state, write_state
from mambapro.train.engine.training_config import TrainConfig
from mambapro.train.engine.training_report import CsvLog, EpochRecord

RECORD = EpochRecord(1, 0.1, 2.0, {"head0_triplet": 1.0}, 0.5, 3, 1.0, 10.0)


class TestRunFolder:
    @pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
    def test_two_at_a_time(self, tmp_path: Path, options: dict[str, bool]) -> None:
        """The second run in a folder is refused whatever it asks for; the first one's files stay."""
        with run_folder(tmp_path / "run"):
            if options:
                (tmp_path / "run" / "last.pth").write_text("first")
            with (
                pytest.raises(InputError, match="Another run is working in"),
                run_folder(tmp_path / "run", **options),
            ):
                pytest.fail("it was let in")
            assert not options or (tmp_path / "run" / "last.pth").read_text() == "first"

        with run_folder(tmp_path / "run", resume=True):
            pass

    def test_only_a_run_s_own_files_go(self, tmp_path: Path) -> None:
        """With overwrite those of an earlier run and what a killed one was writing go; hidden files of users stay."""
        (tmp_path / ".last.pth.abcd1234.partial" / "content").mkdir(parents=True)
        for name in (*FILES, ".mine.pth", ".last.abcd1234.pth", "notes.txt"):
            (tmp_path / name).write_text("x")

        with run_folder(tmp_path, overwrite=True):
            left = {path.name for path in tmp_path.iterdir()}

        assert left == {".mine.pth", ".last.abcd1234.pth", "notes.txt"}

    def test_resuming_removes_nothing_of_the_user(self, tmp_path: Path) -> None:
        """A state is read, and hidden files beside it stay."""
        write_state(tmp_path, State(TrainConfig("x").to_json(), "data", 2, 0, 1, 0.5, 3.0, {}))
        (tmp_path / ".mine.pth").write_text("x")

        with run_folder(tmp_path, resume=True):
            assert read_state(tmp_path) is not None

        assert {path.name for path in tmp_path.iterdir()} == {".mine.pth", state.NAME}

    def test_a_log_of_the_user_is_not_resumed(self, tmp_path: Path) -> None:
        """Without a state a log.csv that no training wrote stays, with an error; one of a training goes on."""
        (tmp_path / "log.csv").write_text("date,weight\n1,2\n")
        with pytest.raises(InputError, match=r"log\.csv is not of a training"), run_folder(tmp_path, resume=True):
            pytest.fail("it was begun")
        assert (tmp_path / "log.csv").read_text() == "date,weight\n1,2\n"

        (tmp_path / "log.csv").unlink()
        CsvLog(tmp_path / "log.csv").write(RECORD)
        with run_folder(tmp_path, resume=True):
            pass

    def test_what_cannot_be_replaced_is_told_before_resuming(self, tmp_path: Path) -> None:
        """A FIFO by the name of a result is an error at once, not after an epoch."""
        os.mkfifo(tmp_path / "last.pth")

        with pytest.raises(InputError, match=r"last\.pth is a FIFO"), run_folder(tmp_path, resume=True):
            pytest.fail("it was begun")

    @pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("precious")])
    def test_special_files_and_links_stay(self, tmp_path: Path, make: object) -> None:
        """A name of a run that is no regular file is refused before anything is removed."""
        (tmp_path / "precious").write_text("x")
        (tmp_path / "best.pth").write_text("earlier")
        make(tmp_path / "last.pth")  # type: ignore[operator]

        with (
            pytest.raises(InputError, match=r"last\.pth is (a FIFO|a link)"),
            run_folder(tmp_path, overwrite=True),
        ):
            pytest.fail("it was begun")

        assert (tmp_path / "best.pth").read_text() == "earlier" and os.path.lexists(tmp_path / "last.pth")

    def test_not_in_a_bundle(self, tmp_path: Path) -> None:
        """The bundle itself and any folder in it are refused, and stay as they are."""
        for name in ("metadata.json", "SHA256SUMS"):
            (tmp_path / name).write_text("{}")

        for folder in (tmp_path, tmp_path / "run"):
            with pytest.raises(InputError, match="lies in the bundle"), run_folder(folder, overwrite=True):
                pytest.fail("it was begun")
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_failure_leaves_no_empty_folder(self, tmp_path: Path) -> None:
        """A folder that was made goes again; one with a result stays."""
        with pytest.raises(ZeroDivisionError), run_folder(tmp_path / "way" / "run"):
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == []

        with pytest.raises(ZeroDivisionError), run_folder(tmp_path / "run"):
            (tmp_path / "run" / "last.pth").touch()
            raise ZeroDivisionError
        assert (tmp_path / "run" / "last.pth").exists()


class TestLog:
    def test_a_log_that_appeared_meanwhile(self, tmp_path: Path) -> None:
        """It stays: the run's own is not appended to it."""
        log = CsvLog(tmp_path / "log.csv")
        (tmp_path / "log.csv").write_text("theirs")

        with pytest.raises(InputError, match="exists already"):
            log.write(RECORD)
        assert (tmp_path / "log.csv").read_text() == "theirs"

    def test_a_full_disk_leaves_whole_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rows before stay, without half of another."""
        log = CsvLog(tmp_path / "log.csv")
        log.write(RECORD)
        before = (tmp_path / "log.csv").read_bytes()

        def fail(path: Path, content: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(SetupError, match="No room"):
            log.write(RECORD)
        assert (tmp_path / "log.csv").read_bytes() == before and before.count(b"\n") == 2


class TestOpenFiles:
    @pytest.fixture
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """The process's limit, which may be set; starts at (20, 20)."""
        resource = pytest.importorskip("resource")
        limits = [(20, 20)]
        monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
        monkeypatch.setattr(resource, "setrlimit", lambda kind, values: limits.append(values))
        return limits

    def test_too_few(self, limit: list[tuple[int, int]]) -> None:
        """SetupError names the limit and what would do; without workers nothing is asked for."""
        require_open_files(0)
        with pytest.raises(SetupError, match=r"limit is 20 \(ulimit -n\).*workers=0"):
            require_open_files(2)
        assert limit == [(20, 20)]

    def test_raised_where_it_may(self, limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
        """A soft limit is raised as far as needed, the hard one stays."""
        monkeypatch.setattr(open_files_limit, "_OPEN", Path("/nonexistent"))
        limit.append((20, 1000))

        require_open_files(2)

        assert limit[-1] == (52, 1000)


def test_a_full_disk_names_the_weights_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `last.pth` holds is said, and whether the run can go on; not that nothing was left."""
    files = object.__new__(RunFiles)
    files.folder, files.saved_epoch = tmp_path, 0

    def told() -> str:
        with pytest.raises(SetupError) as caught, files.room_wanted():
            raise SetupError("No room.")
        return str(caught.value)

    assert told() == "No room. There are no weights of this training yet."
    files.saved_epoch = 3
    assert told() == "No room. last.pth holds the weights after epoch 3."
    torch.save({}, tmp_path / state.NAME)
    assert told().endswith("epoch 3. --resume goes on from state.pth.")
