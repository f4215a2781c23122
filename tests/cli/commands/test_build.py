"""mambapro build and the export's --target: options that cannot be meant are told before anything long is begun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.export import pipeline
from mambapro.export.artifacts import build_artifact
from mambapro.export.artifacts.build_options import BuildOptions
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.synthetic.benchmark import draw_benchmark
from PIL import Image

#: int8 that is built again from the graph in the bundle.
INT8_AGAIN = ("--target", "openvino", "--precision", "int8", "--overwrite")


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 bundle of the tiny model."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    code = run([str(argument) for argument in arguments])
    found = capfd.readouterr()
    return code, found.out, found.err


def test_built_artifact_is_told_as_json(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, the sidecar on standard output; check then replays both artifacts."""
    code, out, _ = said(capfd, "build", bundle, "--target", "openvino", "--precision", "bf16", "--json")

    assert code == 0
    assert json.loads(out)["artifact"]["target"] == "openvino" and "openvino-bf16.json" in Bundle.open(bundle).sums
    code, out, _ = said(capfd, "check", bundle, "--device", "cpu", "--json")
    assert [item["artifact"] for item in json.loads(out)["artifacts"]] == ["onnxruntime-fp32", "openvino-bf16"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "onnxruntime", "--precision", "bf16"], "bf16"),
        (["--target", "openvino", "--precision", "fp16"], "gains nothing"),
        (["--target", "openvino", "--precision", "int8"], "int8 needs calibration images"),
        (["--target", "openvino", "--precision", "bf16", "--force"], "--force belong to int8"),
        (["--target", "openvino", "--precision", "bf16", "--calib", "."], "--calib is for int8"),
        (["--target", "openvino", "--calib", "nowhere"], "There is no folder nowhere"),
        (["--target", "openvino", "--scales", "nowhere.json"], "no table of scales nowhere.json"),
        (["--target", "openvino", "--scales", "a.json", "--calib", "."], "give one of them"),
        (["--target", "openvino", "--calib", ".", "--policy", "nowhere.toml"], "nowhere.toml"),
        (["--target", "tensorrt-rtx", "--profile", "1,8"], "three batch sizes"),
        (["--target", "tensorrt-rtx", "--profile", "8,4,1"], "smallest <= usual <= largest"),
        (["--target", "tensorrt-rtx", "--timing-cache", "."], "--timing-cache belongs to --target tensorrt"),
        (["--target", "openvino", "--profile", "1,8,32"], "--profile belong to --target tensorrt or tensorrt-rtx"),
        (["--target", "openvino", "--compute-capability", "9.9"], "--compute-capability belong to"),
        (
            ["--target", "onnxruntime", "--hardware", "same", "--plugin", "none"],
            "--hardware, --plugin belong to --target tensorrt or tensorrt-rtx; what is built is onnxruntime",
        ),
        (
            [*INT8_AGAIN, "--policy", "none"],
            "--policy needs scales",
        ),
        (
            [
                "--target",
                "openvino",
                "--precision",
                "int8",
                "--overwrite",
                "--algorithm",
                "auto",
                "--allow-test-images",
            ],
            "--algorithm, --allow-test-images say how to calibrate, which needs images: give --calib",
        ),
        (["--target", "openvino", "--scales", "a.json", "--calib-images", "64"], "--calib-images say how to"),
        (["--target", "openvino", "--precision", "bf16", "--algorithm", "mse"], "--algorithm belong to int8"),
        (["--target", "tensorrt-rtx", "--hardware", "ampere+"], "has no hardware levels"),
        (["--target", "tensorrt-rtx", "--compute-capability", "8,6"], "is written as 8.6"),
        (["--target", "openvino", "--data", "."], "--data needs --dataset"),
    ],
)
def test_refused_builds(arguments: list[str], words: str, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, what is wrong, and the bundle untouched."""
    before = Bundle.open(bundle).sums

    code, _, error = said(capfd, "build", bundle, *arguments)

    assert code == 2 and words in error, error
    assert Bundle.open(bundle).sums == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bf16"], "--bf16 needs --target"),
        (["--fp16", "--max-map-drop", "0.1"], "--max-map-drop limits what fp16 or int8 loses on labelled images"),
        (["--int8"], "int8 needs calibration images"),
        (["--fp16", "--int8"], "exclude each other"),
        (["--fp16", "--target", "openvino"], "gains nothing"),
        (["--calib", "."], "--calib is for int8"),
        (["--int8", "--calib", "nowhere"], "There is no folder nowhere"),
        (["--workspace", "64"], "--workspace belong to --target tensorrt or tensorrt-rtx; what is built is the"),
    ],
)
def test_refused_exports(
    arguments: list[str], words: str, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 before the export begins; a dry run is refused as well."""
    for more in ([], ["--dry-run"]):
        output = tmp_path / "x.mambapro"
        code, _, error = said(capfd, "export", "--ckpt", tiny_checkpoint, "--output", output, *arguments, *more)

        assert code == 2 and words in error, error
        assert "exporting to ONNX" not in error and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dataset", [False, True])
def test_too_few_calibration_images(
    dataset: bool, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Seven samples in a folder, six in a training split: told before the export, like a count below eight."""
    calib, output = tmp_path / "calib", tmp_path / "x.mambapro"
    if dataset:
        draw_benchmark(calib, "rgbnt201", seed=0, identities=(2, 2), views=3)
    else:
        (calib / "rgb").mkdir(parents=True)
        for i in range(7):
            Image.new("RGB", (4, 4)).save(calib / "rgb" / f"{i}.png")
    asked = ["export", "--ckpt", tiny_checkpoint, "--output", output, "--int8", "--calib", calib]
    asked += ["--dataset", "rgbnt201"] if dataset else []

    code, _, error = said(capfd, *asked)

    assert code == 2 and f"holds {6 if dataset else 7} sample(s)" in error, error
    assert "exporting to ONNX" not in error
    code, _, error = said(capfd, *asked, "--calib-images", 7)
    assert code == 2 and "7 is not in the range x>=8" in error


def test_sensors_without_a_common_name(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Such folders are refused, and the option that the message names takes them."""
    for sensor in ("rgb", "tir"):
        (tmp_path / sensor).mkdir()
        for i in range(8):
            Image.new("RGB", (4, 4)).save(tmp_path / sensor / f"{i}_{sensor}.png")
    monkeypatch.setattr(build_artifact.ArtifactBuilder, "build", lambda self: NoReport())
    asked = ["build", bundle, "--target", "openvino", "--calib", tmp_path]

    code, _, error = said(capfd, *asked)

    assert code == 2 and "--unpaired" in error, error
    assert said(capfd, *asked, "--unpaired")[0] == 0


def test_calibration_images_gate_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: Path) -> None:
    """The root of a benchmark calibrates; its test part is evaluated only where --data says so."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(4, 2), views=4)
    asked: list[BuildOptions] = []
    builder = build_artifact.ArtifactBuilder
    monkeypatch.setattr(builder, "build", lambda self: asked.append(self.options) or NoReport())
    command = ["build", str(bundle), "--target", "openvino", "--calib", str(tmp_path / "data"), "--dataset", "rgbnt201"]

    assert run(command) == 0 and run([*command, "--data", str(tmp_path / "data")]) == 0

    assert [(options.data, options.dataset) for options in asked] == [(None, None), (tmp_path / "data", "rgbnt201")]
    assert run([*command, "--max-map-drop", "1"]) == 2


def test_an_export_without_data_is_not_gated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """Calibration images are good for the parity run, which takes seconds; the mAP is gated where --data says so."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(4, 2), views=4)
    asked: list[ExportOptions] = []
    monkeypatch.setattr(pipeline, "export_bundle", lambda options, *_: asked.append(options) or NoReport())
    data = str(tmp_path / "data")
    command = ["export", "--ckpt", str(tiny_checkpoint), "--fp16", "--calib", data, "--dataset", "rgbnt201"]

    assert run(command) == 0 and run([*command, "--data", data]) == 0

    assert [(options.data, options.images) for options in asked] == [(None, data), (data, data)]


class NoReport:
    """Nothing to tell."""

    def to_json(self) -> dict:
        return {}

    def __str__(self) -> str:
        return ""


def test_one_departure_for_the_artifact_alone(
    tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--max-cosine-distance of a bf16 export is the artifact's: the exported model keeps its own limit."""
    output = tmp_path / "x.mambapro"
    asked = ["--bf16", "--target", "openvino", "--target", "openvino", "--max-cosine-distance", "0.5"]
    code, out, error = said(capfd, "export", "--ckpt", tiny_checkpoint, "--output", output, *asked, "--json")

    assert code == 0, error
    (artifact,) = json.loads(out)["artifacts"]
    assert artifact["max_departure"] == 0.5
    assert Bundle.open(output).parity_limit() == 1e-8


def test_dry_run_tells_what_is_built(tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The artifacts are part of the plan, and a bundle that is in the way is told as by the real run."""
    asked = [
        "export",
        "--ckpt",
        tiny_checkpoint,
        "--bf16",
        "--target",
        "openvino",
        "--output",
        tmp_path / "x",
        "--dry-run",
    ]

    code, out, _ = said(capfd, *asked, "--json")

    assert code == 0 and json.loads(out)["builds"] == ["openvino-bf16"]
    (tmp_path / "x").mkdir()
    code, _, error = said(capfd, *asked)
    assert code == 2 and "exists already" in error
