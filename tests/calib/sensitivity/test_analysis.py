"""The whole of the analysis: its files, and that a killed run goes on to the same bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib import memory
from mambapro.calib.policy import Policy, read_policy
from mambapro.calib.sensitivity import analysis as run
from mambapro.calib.sensitivity.analysis import SensitivityOptions, SensitivityReport, analyse
from mambapro.calib.sensitivity.measurement import Material
from mambapro.calib.sensitivity.pareto import EQUALLY_FAST, Limits
from mambapro.common.files.locks import only_process
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.graph.layers import points
from mambapro.graph.quantize import int8_points
from mambapro.graph.scales import ScaleTable

FILES = {"ranking.json", "pareto.json", "policy.toml", "ranking.png", "pareto.png", "state.json"}
KINDS = SensitivityOptions("kind", limits=Limits(1.0, 1e-3))


def timer(model: onnx.ModelProto) -> float:
    """As if every tensor in int8 saved a millisecond."""
    return 300.0 - sum(node.op_type == "DequantizeLinear" for node in model.graph.node)


@pytest.fixture(scope="module")
def report(
    model_file: Path, table: ScaleTable, material: Material, tmp_path_factory: pytest.TempPathFactory
) -> SensitivityReport:
    """A finished analysis."""
    return analyse(model_file, table, material, tmp_path_factory.mktemp("done"), KINDS, timer=timer)


def test_files(report: SensitivityReport) -> None:
    """Everything that was promised is there, whole and nothing else."""
    assert {path.name for path in report.folder.iterdir()} == FILES
    assert json.loads((report.folder / "ranking.json").read_text()) == json.loads(json.dumps(report.ranking.to_json()))
    assert json.loads((report.folder / "pareto.json").read_text()) == json.loads(json.dumps(report.pareto.to_json()))
    for name in ("ranking.png", "pareto.png"):
        assert (report.folder / name).read_bytes().startswith(b"\x89PNG")


def test_ranked(report: SensitivityReport) -> None:
    """The most expensive comes first, all layers that compute in int8 are in it, and each costs something."""
    medians = [entry.loss.median for entry in report.ranking.entries]

    assert medians == sorted(medians, reverse=True)
    assert medians[-1] > 0
    assert report.ranking.map is not None
    assert str(report.ranking).splitlines()[2].split()[1] == report.ranking.entries[0].name


def test_the_curve(report: SensitivityReport) -> None:
    """From all in int8 to all in float; the choice holds its limits, and what is faster does not."""
    curve = report.pareto.points

    assert (curve[0].share, curve[-1].share) == (1.0, 0.0)
    assert curve[-1].loss.largest == 0.0
    assert [point.milliseconds for point in curve] == sorted(point.milliseconds for point in curve)
    assert curve[0].loss.largest > 1e-3 >= report.pareto.choice.loss.largest
    faster = [point for point in curve if EQUALLY_FAST * point.milliseconds < report.pareto.choice.milliseconds]
    assert faster and all(point.loss.largest > 1e-3 for point in faster)


def test_the_policy_is_the_choice(report: SensitivityReport, graphs: dict[str, onnx.ModelProto]) -> None:
    """The TOML file, read again, quantises what the chosen point did."""
    policy = read_policy(report.folder / "policy.toml")

    floats = {m for entry in report.ranking.entries if entry.name in report.pareto.choice.floats for m in entry.modules}
    able = int8_points(points(graphs["fp32"]), "onnxruntime")
    assert policy == report.policy
    assert policy.modules(able) == {point.module for point in able} - floats
    assert "# Measured on 6 calibration samples" in (report.folder / "policy.toml").read_text()


def test_limits_are_no_measurement(
    report: SensitivityReport, model_file: Path, table: ScaleTable, material: Material, tmp_path: Path
) -> None:
    """Other limits are answered from what was measured; with none to hold the model stays float."""
    folder = shutil.copytree(report.folder, tmp_path / "copy")

    def never(model: onnx.ModelProto) -> float:
        raise AssertionError("timed again")

    strict = analyse(model_file, table, material, folder, replace(KINDS, limits=Limits(0.0, 1e-12)), timer=timer)
    again = analyse(model_file, table, material, folder, KINDS, timer=never)

    assert strict.policy == Policy("float")
    assert again == replace(report, folder=folder)


def test_ranking_on_fewer(
    report: SensitivityReport, model_file: Path, table: ScaleTable, material: Material, tmp_path: Path
) -> None:
    """The layers can be ranked on some of the samples; the choices are measured on all of them."""
    options = replace(KINDS, rank_samples=2)

    found = analyse(model_file, table, material, tmp_path / "few", options, timer=timer)

    assert (found.ranking.samples, found.pareto.map) == (2, report.pareto.map)
    assert found.ranking.entries != report.ranking.entries
    assert found.pareto.points[0].loss == report.pareto.points[0].loss


def test_another_model_in_the_folder(
    report: SensitivityReport, model_file: Path, table: ScaleTable, material: Material
) -> None:
    """A folder of other images or another grouping is refused, with what differs."""
    with pytest.raises(InputError, match="differ in: data"):
        analyse(model_file, table, replace(material, sha256="z"), report.folder, KINDS, timer=timer)
    with pytest.raises(InputError, match="differ in: grouping"):
        analyse(model_file, table, material, report.folder, replace(KINDS, grouping="block"), timer=timer)


def test_another_machine(
    report: SensitivityReport, model_file: Path, table: ScaleTable, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milliseconds of one machine are not gone on with on another."""
    monkeypatch.setattr(run, "machine_name", lambda: "a smaller one")

    with pytest.raises(InputError, match="differ in: machine"):
        analyse(model_file, table, material, report.folder, KINDS, timer=timer)


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be held there")
def test_two_at_a_time(model_file: Path, table: ScaleTable, material: Material, tmp_path: Path) -> None:
    """A second run in the folder is refused, and what the first is writing stays; after its end it is left over."""
    writing = tmp_path / ".state.json.abcdefgh.partial"
    (writing / "content").mkdir(parents=True)
    wrong = replace(KINDS, batch=99)
    with only_process(tmp_path) as held:
        assert held
        with pytest.raises(InputError, match="Another run is working in"):
            analyse(model_file, table, material, tmp_path, KINDS, timer=timer)
        assert writing.exists()

    with pytest.raises(InputError, match="batch of 99"):
        analyse(model_file, table, material, tmp_path, wrong)
    assert not writing.exists()


def test_files_of_others_stay(model_file: Path, table: ScaleTable, material: Material, tmp_path: Path) -> None:
    """A folder that holds a file of a name that is to be written, and no state of a run, is refused unless replaced."""
    (tmp_path / "policy.toml").write_text("mine")

    with pytest.raises(InputError, match=r"holds policy\.toml of something else.*--overwrite"):
        analyse(model_file, table, material, tmp_path, KINDS, timer=timer)

    assert [path.name for path in tmp_path.iterdir()] == ["policy.toml"]


def test_not_enough_memory(
    model_file: Path, table: ScaleTable, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is too small says so before anything is measured."""
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)

    with pytest.raises(SetupError, match="Sensitivity needs about"):
        analyse(model_file, table, material, tmp_path, KINDS, timer=timer)


def test_not_a_model(table: ScaleTable, material: Material, tmp_path: Path) -> None:
    """A file that is no ONNX is refused."""
    (tmp_path / "model.onnx").write_bytes(b"\xffnothing")

    with pytest.raises(ArtifactError, match="not an ONNX file"):
        analyse(tmp_path / "model.onnx", table, material, tmp_path / "out", KINDS, timer=timer)


def test_bad_options() -> None:
    """Unknown words are refused with the known ones."""
    with pytest.raises(InputError, match="layer, block, kind"):
        SensitivityOptions("colour")
    with pytest.raises(InputError, match="at least 1 sample"):
        SensitivityOptions(rank_samples=0)
    with pytest.raises(InputError, match="onnxruntime, openvino"):
        SensitivityOptions(target="tensorrt")


def test_kills(
    report: SensitivityReport, model_file: Path, table: ScaleTable, material: Material, tmp_path: Path
) -> None:
    """Killed six times and more at random moments, the last run ends in the files of one that nobody disturbed."""
    table.save(tmp_path / "table.json")
    np.savez(tmp_path / "feeds.npz", **material.feeds)
    driver = Path(__file__).with_name("killed_runs.py")
    out = tmp_path / "out"

    done = subprocess.run(
        [sys.executable, driver, model_file, tmp_path / "table.json", tmp_path / "feeds.npz", out, "6", "11"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert said["killed"] >= 6
    assert said["with_results"] >= 2
    assert {path.name for path in out.iterdir()} == FILES
    for name in sorted(FILES):
        assert (out / name).read_bytes() == (report.folder / name).read_bytes(), name
