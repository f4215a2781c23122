"""mambapro sensitivity, from a bundle to a policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from mambapro.calib.policy import read_policy
from mambapro.calib.sensitivity import analysis as run
from mambapro.calib.sensitivity.analysis import POLICY, STATE
from mambapro.calib.sensitivity.loss import Loss
from mambapro.calib.sensitivity.state import State
from mambapro.cli.commands.sensitivity import sensitivity
from mambapro.errors import InputError
from mambapro.runtime.bundle.checksums import GOLDEN, METADATA, MODEL, PARITY, write_sums
from mambapro.runtime.bundle.metadata import BundleMetadata
from mambapro.synthetic.benchmark import draw_benchmark


@pytest.fixture
def bundle(model_file: Path, tiny_metadata: BundleMetadata, tmp_path: Path) -> Path:
    """The tiny model's, without goldens, which are not looked at here."""
    folder = tmp_path / "tiny.mambapro"
    folder.mkdir()
    shutil.copy(model_file, folder / MODEL)
    (folder / METADATA).write_text(json.dumps(tiny_metadata.to_json()))
    for name in (GOLDEN, PARITY):
        (folder / name).touch()
    write_sums(folder)
    return folder


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
    folder = bundle.with_suffix(".sensitivity")

    first = CliRunner().invoke(sensitivity, [*arguments(bundle, data), "--json"], catch_exceptions=False)
    before = (folder / STATE).stat().st_mtime_ns
    again = CliRunner().invoke(sensitivity, arguments(bundle, data), catch_exceptions=False)

    found = json.loads(first.stdout)
    assert found["folder"] == str(folder)
    assert (found["ranking"]["samples"], found["ranking"]["junk"]) == (12, "camera")
    assert read_policy(folder / POLICY).default == found["policy"]["default"]
    assert (folder / STATE).stat().st_mtime_ns == before
    assert found["ranking"]["entries"][0]["name"] in again.stdout
    assert str(folder / POLICY) in again.stdout


def test_measurements_of_something_else(bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    """Another model's measurements in the folder are refused unless --overwrite is given; a folder needs no labels."""
    out = tmp_path / "out"
    State(out / STATE, {"model": "another"}).put("layers", "x", Loss(1.0, 1.0, 1.0, 0.0, None))
    command = [str(bundle), "--calib", str(image_folder), "--images", "8", "--calib-images", "8", "--group", "block"]
    command += ["--out", str(out), "--json"]

    with pytest.raises(InputError, match=r"differ in: .*model.* --overwrite"):
        CliRunner().invoke(sensitivity, command, catch_exceptions=False)
    done = CliRunner().invoke(sensitivity, [*command, "--overwrite"], catch_exceptions=False)

    assert json.loads(done.stdout)["ranking"]["map"] is None
    assert json.loads((out / STATE).read_text())["key"]["model"] != "another"


def test_words(bundle: Path, data: Path) -> None:
    """Unknown groups and targets are usage errors."""
    for wrong in (["--group", "colour"], ["--target", "tensorrt"], ["--max-map-drop", "-1"], ["--images", "7"]):
        assert CliRunner().invoke(sensitivity, [*arguments(bundle, data), *wrong]).exit_code == 2
