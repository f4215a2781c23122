"""mambapro train with recipes of attributes: options, messages, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attribute_runs import SMALL
from mambapro.cli.main import run
from mambapro.train.models.checkpoints.weights import load_checkpoint
from toy_people import draw

OPTIONS = [f"--set={change}" for change in SMALL]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("toy") / "data")


def train(recipe: str, data: Path, out: Path, *more: str) -> int:
    return run(["train", "--config", recipe, "--data", str(data), "--out", str(out), *more])


def test_teacher_and_student(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ViT, then a student of it; the report names the metrics and the majority's."""
    more = ["--dataset", "attributes", "--epochs", "1", "--device", "cpu", *OPTIONS]
    assert train("mini_vit_b", data, tmp_path / "vit", "--task", "attributes", *more) == 0
    capsys.readouterr()

    code = train("mini_kdtm", data, tmp_path / "kdtm", "--teacher", str(tmp_path / "vit/best.pth"), *more, "--json")

    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["baseline"] == {"mA": 0.5, "F1": 0.0}
    assert {"validation_ma", "validation_f1", "distillation"} <= report["epochs"][0].keys()
    assert load_checkpoint(tmp_path / "kdtm/best.pth").trained_on["task"] == "attributes"


@pytest.mark.parametrize(
    ("recipe", "more", "words"),
    [
        ("vim_s", [], "give --vim, or set model.from_scratch to true"),
        ("mini_kdtm", [], "give its best.pth as --teacher"),
        ("vsf_vim_s", ["--vim", "x"], "give --vocab or --label-tokens or --label-vectors"),
        ("mini_vim_s", ["--clip", "x"], "--clip has no effect with the recipe mini_vim_s; it takes --vim, --weights."),
        ("tiny", ["--teacher", "x"], "--teacher has no effect with the recipe tiny; it takes --clip,"),
        ("mini_vim_s", ["--task", "re-identification"], "is for attributes, not for re-identification"),
        (
            "mini_vim_s",
            ["--dataset", "rgbnt201"],
            "is for attributes, and rgbnt201 is a data set for re-identification",
        ),
        ("tiny", [], "is for re-identification, and attributes is a data set for attributes"),
        ("mini_vim_s", ["--vim", "none.pth"], "none.pth"),
    ],
)
def test_refused(
    recipe: str, more: list[str], words: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what to do, no folder."""
    dataset = [] if "--dataset" in more else ["--dataset", "attributes"]

    assert train(recipe, data, tmp_path / "out", *dataset, *more) == 2

    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
