"""mambapro info and mambapro ablate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.synthetic.benchmark import draw_benchmark


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command run in this process."""
    result = run([str(argument) for argument in arguments])
    return result, *capfd.readouterr()


class TestInfo:
    def test_table(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A table of the paper comes with our figures beside it."""
        code, out, _ = said(capfd, "info", "--table", "3", "--json")

        rows = {row["key"]: row for row in json.loads(out)["rows"]}
        assert code == 0
        assert {key: round(row["params"], 2) for key, row in rows.items() if key in "ABCDE"} == {
            key: row["paper_params"] for key, row in rows.items() if key in "ABCDE"
        }

    def test_small_model(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A recipe with changes says what its own model costs."""
        code, out, _ = said(capfd, "info", "--config", "tiny", "--set", "model.overrides.mamba=false")

        assert code == 0
        assert "aggregation (MA)       297,920          0          0.00" in out

    def test_checkpoint(self, tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A checkpoint's own shapes are counted."""
        code, out, _ = said(capfd, "info", "--ckpt", tiny_checkpoint, "--json")

        values = json.loads(out)
        assert (code, values["image_size"], values["identities"]) == (0, [64, 32], 5)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        (
            (("--table", "8"), "tables 3 to 7"),
            (("--table", "1"), "There is no ablation '1'"),
            (("--ckpt", "x.pth", "--table", "3"), "leave --table"),
            (("--ckpt", "x.pth"), "x.pth"),
            (("--weights", "ema"), "give --ckpt too"),
            (("--ckpt", "x.pth", "--config", "tiny"), "leave --config out"),
            (("--attributes", "--weights", "ema", "--config", "tiny"), "leave --config and --weights out"),
            (("--attributes", "--dataset", "rgbnt201"), "leave --dataset out"),
            (("--table", "3", "--dataset", "rgbnt201"), "leave --dataset out"),
        ),
    )
    def test_wrong(self, arguments: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]) -> None:
        """What cannot be counted is refused with exit code 2."""
        code, out, err = said(capfd, "info", *arguments)

        assert (code, out) == (2, "")
        assert words in err


class TestAblate:
    def test_untrained_row(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The command prints the table and leaves it in its folder; the same command again only prints it."""
        import torch
        from mambapro.train.models.checkpoints.weights import save_checkpoint
        from mambapro.train.models.mambapro.sizes import build_model

        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 3), views=3)
        torch.manual_seed(1)
        save_checkpoint(build_model("tiny", image_size=(128, 64), cameras=4, identities=2), tmp_path / "tower.pth")
        command = (
            "ablate",
            "3",
            "--data",
            tmp_path / "data",
            "--out",
            tmp_path / "out",
            "--rows",
            "a",
            "--size",
            "tiny",
        )

        first = said(capfd, *command, "--backbone", tmp_path / "tower.pth")
        second = said(capfd, *command, "--backbone", tmp_path / "tower.pth")

        assert (first[0], second[0]) == (0, 0)
        assert first[1] == second[1] and "CLIP locked" in first[1]
        assert "row A" in first[2] and "row A" not in second[2]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results", "results.json", "results.md"]

    def test_wrong(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A row that is not there ends with exit code 2 and writes nothing."""
        code, out, err = said(capfd, "ablate", "3", "--data", tmp_path, "--out", tmp_path / "out", "--rows", "H")

        assert (code, out) == (2, "")
        assert "it has A, B, C, D, E, F, G" in err
        assert not (tmp_path / "out").exists()
