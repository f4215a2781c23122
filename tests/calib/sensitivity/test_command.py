"""mambapro sensitivity, from a bundle to a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from mambapro.calib.policy import read_policy
from mambapro.calib.sensitivity import run
from mambapro.cli.sensitivity_command import sensitivity
from mambapro.errors import InputError
from mambapro.export.pipeline import export_bundle
from mambapro.export.plan import ExportOptions
from mambapro.runtime.data.drawn.benchmark import draw_benchmark


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn benchmark: 4 identities to train on, 8 images each."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(4, 2), views=8)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is not what is tested."""
    monkeypatch.setattr(run, "clock", lambda *_: lambda model: 1000.0 - len(model.graph.node))


def arguments(bundle: Path, data: Path) -> list[str]:
    small = ["--images", "12", "--calib-images", "8", "--group", "block"]
    return [str(bundle), "--calib", str(data), "--dataset", "rgbnt201", *small]


def test_from_a_bundle_to_a_policy(bundle: Path, data: Path) -> None:
    """All files are written beside the bundle, the JSON is the report, and a second call measures nothing."""
    first = CliRunner().invoke(sensitivity, [*arguments(bundle, data), "--json"], catch_exceptions=False)
    folder = bundle.with_suffix(".sensitivity")
    before = (folder / "state.json").stat().st_mtime_ns
    again = CliRunner().invoke(sensitivity, arguments(bundle, data), catch_exceptions=False)

    found = json.loads(first.stdout)
    assert found["folder"] == str(folder)
    assert found["ranking"]["samples"] == 12
    assert found["ranking"]["junk"] == "camera"
    assert read_policy(folder / "policy.yaml").default == found["policy"]["default"]
    assert (folder / "state.json").stat().st_mtime_ns == before
    assert found["ranking"]["entries"][0]["name"] in again.stdout
    assert str(folder / "policy.yaml") in again.stdout


def test_other_images_need_another_folder(bundle: Path, data: Path, tmp_path: Path) -> None:
    """Measurements of one draw are not mixed with another's, unless they are replaced."""
    out = ["--out", str(tmp_path / "out")]
    CliRunner().invoke(sensitivity, [*arguments(bundle, data), *out], catch_exceptions=False)

    with pytest.raises(InputError, match="differ in: data"):
        CliRunner().invoke(sensitivity, [*arguments(bundle, data), *out, "--images", "8"], catch_exceptions=False)
    done = CliRunner().invoke(
        sensitivity, [*arguments(bundle, data), *out, "--images", "8", "--overwrite"], catch_exceptions=False
    )
    assert done.exit_code == 0


def test_words(bundle: Path, data: Path) -> None:
    """Unknown groups and targets are usage errors."""
    for wrong in (["--group", "colour"], ["--target", "tensorrt"], ["--max-map-drop", "-1"], ["--images", "7"]):
        assert CliRunner().invoke(sensitivity, [*arguments(bundle, data), *wrong]).exit_code == 2
