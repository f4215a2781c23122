"""mambapro calibrate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.calib import calibrate_bundle as calib_run
from mambapro.cli.commands.calibrate import calibrate
from mambapro.cli.main import run
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.graph.scales import read_table
from mambapro.synthetic.benchmark import draw_benchmark


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported in float32."""
    return export_bundle(
        ExportOptions(tiny_checkpoint, "fp32", output=tmp_path_factory.mktemp("bundle") / "tiny.mambapro")
    ).bundle


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn benchmark with 12 training samples."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    draw_benchmark(root, "rgbnt201", seed=0, identities=(4, 2), views=3)
    return root


def command(*arguments: object) -> int:
    """Exit code of a command line."""
    return run([str(argument) for argument in arguments], calibrate, "mambapro calibrate")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's cache stays out of it."""
    monkeypatch.setenv("MAMBAPRO_CACHE", str(tmp_path / "cache"))


class TestCalibrate:
    def test_table_and_list(self, bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Both files are written; the text tells coverage and worst layers, the JSON the same."""
        out = tmp_path / "s.json"

        assert command(bundle, "--calib", data, "--dataset", "rgbnt201", "--out", out) == 0

        text = capsys.readouterr().out
        assert "identities      4" in text and "12 of 12 samples, training split of rgbnt201" in text
        assert "largest errors" in text and "aggregation.blocks." in text
        table, listing = read_table(out), json.loads((tmp_path / "s.images.json").read_text())
        assert listing["sha256"] == table.data and len(listing["images"]) == 12
        assert command(bundle, "--calib", data, "--dataset", "rgbnt201", "--out", out, "--overwrite", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["cached"] and found["table_sha256"] == table.sha256 and len(found["worst"]) == 10

    def test_what_is_there_stays(
        self, bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit code 2 before any work, where the table exists."""
        (tmp_path / "s.json").write_text("mine")

        assert command(bundle, "--calib", data, "--dataset", "rgbnt201", "--out", tmp_path / "s.json") == 2

        assert "--overwrite" in capsys.readouterr().err and (tmp_path / "s.json").read_text() == "mine"

    @pytest.mark.parametrize("name", ["s.json", "s.images.json"])
    def test_what_appears_meanwhile_stays(
        self,
        bundle: Path,
        data: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        """Exit code 2 at the end, the other file is untouched, and neither of ours stands alone beside it."""

        def appears(*arguments: object, **_: object) -> object:
            found = calibrated(*arguments)
            (tmp_path / name).write_text("theirs")
            return found

        calibrated = calib_run.calibrate
        monkeypatch.setattr(calib_run, "calibrate", appears)

        assert command(bundle, "--calib", data, "--dataset", "rgbnt201", "--out", tmp_path / "s.json") == 2

        assert f"{name} exists already" in capsys.readouterr().err
        assert [path.name for path in tmp_path.glob("*s.*")] == [name] and (tmp_path / name).read_text() == "theirs"

    def test_nothing_to_calibrate_with(self, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2 for a folder that holds no images, and nothing is written."""
        assert command(bundle, "--calib", tmp_path, "--out", tmp_path / "s.json") == 2

        assert "has no folder rgb, nir or tir" in capsys.readouterr().err
        assert not (tmp_path / "s.json").exists()
