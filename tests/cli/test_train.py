"""mambapro train: options, recipes, resuming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.train.models.checkpoints.weights import load_checkpoint

SMALL = [
    "--set=model.overrides.depth=1",
    "--set=model.overrides.width=64",
    "--set=model.image_size=[32, 16]",
    "--set=model.overrides.scan_channels=32",
    "--set=solver.identities_per_batch=4",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute drawn benchmark."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    sizes = ["--train-identities", "6", "--test-identities", "4", "--images", "4"]
    assert run(["synth", "--out", str(out), "--dataset", "rgbnt201", *sizes]) == 0
    return out


def train(data: Path, out: Path, *more: str) -> int:
    return run(["train", "--config", "tiny", "--data", str(data), "--out", str(out), *SMALL, *more])


def test_the_recipe_travels(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Changed fields, short forms among them, stand in the checkpoint."""
    out = tmp_path / "out"
    code = train(data, out, "--dataset", "rgbnt201", "--epochs", "1", "--seed", "5", "--select-on-test", "--json")

    assert code == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out)
    assert report["epochs"][0]["validation_map"] > 0 and report["validation_identities"] == 0
    config = load_checkpoint(out / "best.pth").trained_on["config"]
    assert (config["seed"], config["select_on_test"]) == (5, True)
    assert (config["solver"]["epochs"], config["solver"]["warmup_epochs"]) == (1, 1)


def test_a_backbone_is_taken_over(data: Path, tmp_path: Path) -> None:
    """With a frozen backbone from another checkpoint the tower stays that checkpoint's."""
    more = ("--dataset", "rgbnt201", "--epochs", "1")
    assert train(data, tmp_path / "tower", *more) == 0

    taken = train(
        data, tmp_path / "out", *more, "--backbone", str(tmp_path / "tower" / "best.pth"), "--set=model.frozen=true"
    )

    assert taken == 0
    first, second = (load_checkpoint(tmp_path / name / "best.pth").backbone for name in ("tower", "out"))
    assert first.projection.equal(second.projection)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "say with --dataset"),
        (["--dataset", "rgbnt201", "--set", "solver.epoch=3"], "did you mean solver.epochs?"),
        (["--dataset", "rgbnt201", "--resume", "--overwrite"], "give one of them"),
        (["--dataset", "rgbnt201", "--clip", "x", "--backbone", "y"], "Give one of them"),
        (["--dataset", "rgbnt201", "--weights", "ema"], "--weights chooses weights in the checkpoint of --backbone"),
    ],
)
def test_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str) -> None:
    """Exit code 2, a word about it, no folder."""
    assert train(data, tmp_path / "out", *more) == 2

    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_one_identity(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A training set of one identity cannot be mined for triplets: exit code 2."""
    folder = tmp_path / "one"
    for modality in ("RGB", "NI", "TI"):
        for part in ("train_171", "test"):
            (folder / "RGBNT201" / part / modality).mkdir(parents=True)
        sources = sorted((data / "RGBNT201" / "train_171" / modality).iterdir())
        first = [path for path in sources if path.name[:6] == sources[0].name[:6]]
        for part in ("train_171", "test"):
            for path in first:
                (folder / "RGBNT201" / part / modality / path.name).write_bytes(path.read_bytes())

    assert train(folder, tmp_path / "out", "--dataset", "rgbnt201", "--epochs", "1") == 2
    assert "has 1 identities, a batch needs 4" in " ".join(capsys.readouterr().err.split())
