"""Interrupted trainings: killed in the middle of an epoch they go on, and end with the very same weights."""

from __future__ import annotations

import csv
import errno
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.runtime.data.image_settings import ImageSettings, using_image_settings
from mambapro.train.engine import state
from mambapro.train.engine.image_ranges import noted_ranges
from mambapro.train.engine.state import State, check_state, read_state, write_state
from mambapro.train.engine.training_config import TrainConfig
from train_runs import draw, run, weights


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn images."""
    return draw(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> tuple[Path, list[float]]:
    """The checkpoint and the losses of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder, images, "whole", "augmentation.shared=false")
    assert done.returncode == 0, done.stderr
    return folder / "whole" / "best.pth", losses(done.stdout)


def losses(output: str) -> list[float]:
    """Losses of the epochs in a training's report."""
    return [epoch["loss"] for epoch in json.loads(output)["epochs"]]


@pytest.mark.parametrize("save_every", [0, 1])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_killed_and_resumed(
    tmp_path: Path, images: Path, whole: tuple[Path, list[float]], save_every: int, steps: int
) -> None:
    """After SIGKILL within an epoch, the first or a later one, the resumed run ends with the whole one's bits."""
    killed = run(tmp_path, images, "killed", f"save_every={save_every}", kill=steps)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (tmp_path / "killed" / ".notes.pth").write_bytes(b"a user's own")
    left = tmp_path / "killed" / ".state.pth.abcd1234.partial" / "content"
    left.mkdir(parents=True)
    (left / "state.pth").write_bytes(b"a write that was killed")

    resumed = run(tmp_path, images, "killed", f"save_every={save_every}", resume=True)

    assert resumed.returncode == 0, resumed.stderr
    expected = weights(whole[0])
    for name in ("best.pth", "last.pth"):
        found = weights(tmp_path / "killed" / name)
        assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert losses(resumed.stdout) == whole[1]
    with open(tmp_path / "killed" / "log.csv", newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    names = [".notes.pth", "best.pth", "last.pth", "log.csv"]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == names


def test_only_what_is_left_is_trained(tmp_path: Path, images: Path) -> None:
    """With a state after each batch the resumed run makes the rest of the nine steps, no others."""
    run(tmp_path, images, "out", "save_every=1", kill=5)

    # a tenth step would kill it
    resumed = run(tmp_path, images, "out", "save_every=1", resume=True, kill=4)

    assert resumed.returncode == 0, resumed.stderr


def test_finished(tmp_path: Path, images: Path) -> None:
    """A finished training has nothing to resume."""
    assert run(tmp_path, images, "out").returncode == 0

    again = run(tmp_path, images, "out", resume=True)

    assert again.returncode == 1
    assert "is finished" in again.stderr


def test_nothing_to_resume(tmp_path: Path, images: Path) -> None:
    """A training that was not begun begins, with a warning: the folder may be mistyped."""
    done = run(tmp_path, images, "out", resume=True)

    assert done.returncode == 0
    assert "no training to resume" in done.stderr and "starts from the beginning" in done.stderr


class TestState:
    CONFIG = TrainConfig("x")

    def state(self) -> State:
        return State(self.CONFIG.to_json(), "data", 2, 0, 1, 0.5, 3.0, {"model": {"w": torch.ones(2)}})

    def test_written_and_read(self, tmp_path: Path) -> None:
        """What is read is what was written."""
        write_state(tmp_path, self.state())

        found = read_state(tmp_path)

        assert found is not None and (found.epoch, found.best_map) == (2, 0.5)
        assert torch.equal(found.tensors["model"]["w"], torch.ones(2))
        check_state(found, self.CONFIG, "data")

    def test_none(self, tmp_path: Path) -> None:
        """No file, no state."""
        assert read_state(tmp_path) is None

    def test_other_recipe(self) -> None:
        """InputError names what differs; what does not change the weights may differ."""
        check_state(self.state(), replace(self.CONFIG, workers=2, save_every=5), "data")
        with pytest.raises(InputError, match="seed was 1111, is 5"):
            check_state(self.state(), replace(self.CONFIG, seed=5), "data")

    def test_other_data(self) -> None:
        """InputError where the samples are others."""
        with pytest.raises(InputError, match="other data"):
            check_state(self.state(), self.CONFIG, "others")

    def test_other_ranges_of_sixteen_bits(self, tmp_path: Path) -> None:
        """InputError where 16-bit images are read otherwise than before, and both ranges."""
        with using_image_settings(ImageSettings(sixteen_bit_range={"tir": (7000, 9000)})):
            write_state(tmp_path, replace(self.state(), ranges=noted_ranges()))
            found = read_state(tmp_path)
            assert found is not None
            check_state(found, self.CONFIG, "data")

        with pytest.raises(InputError, match=r"'tir': \[7000, 9000\]}, now the full range.*--sixteen-bit-range"):
            check_state(found, self.CONFIG, "data")

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02cos\nsystem\n."])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        """ArtifactError for what is damaged; nothing in it is run."""
        (tmp_path / state.NAME).write_bytes(content)

        with pytest.raises(ArtifactError, match=r"state\.pth cannot be read"):
            read_state(tmp_path)

    def test_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError, and the state before is still there."""
        write_state(tmp_path, self.state())

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(SetupError):
            write_state(tmp_path, self.state())

        monkeypatch.undo()
        found = read_state(tmp_path)
        assert found is not None and found.epoch == 2
        assert [path.name for path in tmp_path.iterdir()] == [state.NAME]
