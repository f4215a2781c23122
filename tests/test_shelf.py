"""Bundles, checkpoints and the state of a training that an earlier version wrote: read with the same numbers."""

from __future__ import annotations

import csv
import json
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mambapro.cli.main import cli

SHELF = Path(__file__).parent / "shelf"
STORED = dict(np.load(SHELF / "embeddings.npz"))
MADE_ON = json.loads((SHELF / "made_on.json").read_text())
FOLDERS = {"rgb": "RGB", "nir": "NI", "tir": "TI"}
DATA = ("--data", SHELF / "data", "--dataset", "rgbnt201")
BUNDLES = ("fp32", "fp16", "int8")
ARTIFACTS = [name.split("-", 3) for name in STORED if name.count("-") > 2]
CHECKPOINTS = ("best.pth", "short.safetensors", "authors.pth")
ALL = "rgb-nir-tir"
#: Limits on other machines, see shelf/README.md: absolute on unit vectors; in 1 - cosine; relative.
ABSOLUTE = {"fp32": 1e-5, "fp16": 1e-3}
INT8, RESUMED, LOSS = 1e-3, 1e-4, 1e-4


def machine() -> dict[str, object]:
    """Describe what decides the bits of a result: processor, instruction sets, cores, libraries."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    pairs = [[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]
    values = dict(pairs)
    sets = [flag for flag in values.get("flags", "").split() if flag.startswith(("amx", "avx", "f16c", "fma", "sse"))]
    return {
        "processor": [values.get(name) for name in ("model name", "cpu family", "model")],
        "instruction_sets": sorted(sets),
        "cores": sum(name == "processor" for name, _ in pairs),
        "packages": {package: version(package) for package in MADE_ON["packages"]},
    }


def version(package: str) -> str | None:
    """Return the installed version, None without the package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


#: True where this machine computes with the kernels that computed the stored numbers.
SAME = machine() == MADE_ON


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def departure(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest 1 - cosine of a row."""
    return float((1 - (unit(a.astype(np.float64)) * unit(b.astype(np.float64))).sum(axis=1)).max())


def assert_equal(actual: np.ndarray, stored: np.ndarray, limit: float, same: bool = SAME) -> None:
    """Hold the rule of shelf/README.md: bit for bit on the same machine, within `limit` on unit vectors elsewhere."""
    assert actual.dtype == stored.dtype and actual.shape == stored.shape
    if same:
        assert actual.tobytes() == stored.tobytes()
    else:
        assert np.abs(unit(actual) - unit(stored)).max() <= limit


def run(*arguments: object) -> Result:
    """Run a command that must end with 0."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def extract(bundle: Path, target: str, precision: str, sensors: str, out: Path) -> np.ndarray:
    """Embed the test images with one artifact: unit vectors, float32 (32, 48)."""
    test = SHELF / "data" / "RGBNT201" / "test"
    images = [part for sensor in sensors.split("-") for part in (f"--{sensor}", test / FOLDERS[sensor])]
    cameras = ("--camera-pattern", r"cam(\d+)", "--first-camera", 1)
    artifact = ("--target", target, "--precision", precision, "--device", "cpu")
    run("extract", bundle, *images, *cameras, *artifact, "--out", out)
    return np.load(out)["embeddings"]


def torch_embeddings(checkpoint: Path) -> np.ndarray:
    """Embed the golden samples with PyTorch: raw, float32 (14, 48)."""
    torch = pytest.importorskip("torch")
    from mambapro import load_checkpoint

    golden = np.load(SHELF / "fp32.mambapro" / "golden.npz")
    model = load_checkpoint(checkpoint, image_size=(64, 32))
    images = torch.from_numpy(np.stack([golden[sensor] for sensor in FOLDERS], axis=1)).permute(0, 1, 4, 2, 3)
    mask = torch.from_numpy(golden["modality_mask"])[..., None, None, None]
    with torch.inference_mode():
        return model((images.float() / 255 - 0.5) / 0.5 * mask, torch.from_numpy(golden["camera"])).numpy()


def same_torch() -> bool:
    """Tell whether PyTorch divides its work as it did on the machine of the shelf."""
    return SAME and pytest.importorskip("torch").get_num_threads() == MADE_ON["cores"]


@pytest.mark.parametrize("name", BUNDLES)
def test_check_accepts_a_bundle(name: str, tmp_path: Path) -> None:
    """All hashes agree and all artifacts pass their gates, with exit code 0 as when the bundle was written."""
    if name == "int8":
        pytest.importorskip("openvino")
    bundle = Path(shutil.copytree(SHELF / f"{name}.mambapro", tmp_path / "copy.mambapro"))

    result = run("check", bundle)

    assert ("openvino-int8" in result.output) == (name == "int8")


@pytest.mark.parametrize(("bundle", "target", "precision", "sensors"), ARTIFACTS)
def test_a_bundle_gives_its_embeddings(bundle: str, target: str, precision: str, sensors: str, tmp_path: Path) -> None:
    """Every artifact, with all sensors and with some, embeds the test images as it did when it was built."""
    if target == "openvino":
        pytest.importorskip("openvino")

    actual = extract(SHELF / f"{bundle}.mambapro", target, precision, sensors, tmp_path / "out.npz")

    if precision == "int8":
        assert departure(actual, STORED[f"fp32-onnxruntime-fp32-{sensors}"]) <= INT8
    else:
        assert_equal(actual, STORED[f"{bundle}-{target}-{precision}-{sensors}"], ABSOLUTE[precision])


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_gives_its_embeddings(name: str) -> None:
    """A checkpoint in each layout loads, and PyTorch embeds the golden samples as it did."""
    actual = torch_embeddings(SHELF / name)

    assert_equal(actual, STORED[name], ABSOLUTE["fp32"], same_torch())


def test_an_export_of_a_checkpoint_gives_the_embeddings_of_its_bundle(tmp_path: Path) -> None:
    """The graph that is exported today computes what the stored graph of the same checkpoint computes."""
    pytest.importorskip("torch")
    bundle = tmp_path / "again.mambapro"

    run("export", "--ckpt", SHELF / "best.pth", *DATA, "--output", bundle)

    actual = extract(bundle, "onnxruntime", "fp32", ALL, tmp_path / "out.npz")
    assert_equal(actual, STORED[f"fp32-onnxruntime-fp32-{ALL}"], ABSOLUTE["fp32"])


def test_a_stored_table_of_scales_is_read() -> None:
    """The table of the int8 artifact holds, module by module, the thresholds that stand in its file."""
    pytest.importorskip("onnx")
    from mambapro.graph.scales import read_table

    path = SHELF / "int8.mambapro" / "openvino-int8.scales.json"
    written = json.loads(path.read_text())["activations"]

    table = read_table(path)

    assert len(written) == 28
    assert [table.of(entry["modules"][0]).threshold for entry in written] == [entry["threshold"] for entry in written]


def test_a_stopped_training_is_resumed(tmp_path: Path) -> None:
    """From the state of a killed training follow the losses and the model of the one that was not killed."""
    pytest.importorskip("torch")
    folder = Path(shutil.copytree(SHELF / "stopped", tmp_path / "run"))
    recipe = ("--config", SHELF / "recipe.toml", "--set", "model.overrides.depth=1", "--epochs", 8, "--device", "cpu")

    run("train", *recipe, *DATA, "--out", folder, "--resume")

    with open(folder / "log.csv") as resumed, open(SHELF / "short.csv") as whole:
        pairs = list(zip(csv.DictReader(resumed), csv.DictReader(whole), strict=True))
    assert [row["epoch"] for row, _ in pairs] == [str(number) for number in range(1, 9)]
    columns = [name for name in pairs[0][1] if name == "loss" or name.startswith("head")]
    losses, expected = (np.array([[float(pair[i][name]) for name in columns] for pair in pairs]) for i in (0, 1))
    embeddings = torch_embeddings(folder / "best.pth")
    if same_torch():
        assert losses.tolist() == expected.tolist()
        assert embeddings.tobytes() == STORED["short.safetensors"].tobytes()
    else:
        np.testing.assert_allclose(losses, expected, rtol=LOSS)
        assert departure(embeddings, STORED["short.safetensors"]) <= RESUMED


class TestLimits:
    """The limits of other machines tell apart what they are there to tell apart."""

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_other_samples_and_sensors(self, precision: str) -> None:
        """Each sample is ten limits away from all others, and from itself with other sensors."""
        stored = STORED[f"{precision}-onnxruntime-{precision}-{ALL}"]
        others = [np.roll(stored, shift, axis=0) for shift in range(1, len(stored))]
        others += [STORED[f"{precision}-onnxruntime-{precision}-{sensors}"] for sensors in ("rgb-tir", "nir")]

        assert min(np.abs(stored - other).max(axis=1).min() for other in others) > 10 * ABSOLUTE[precision]

    def test_other_precisions(self) -> None:
        """The embeddings of float16 and of int8 are no float32 embeddings."""
        stored = STORED[f"fp32-onnxruntime-fp32-{ALL}"]

        for other in ("fp16-onnxruntime-fp16", "int8-openvino-int8"):
            with pytest.raises(AssertionError):
                assert_equal(STORED[f"{other}-{ALL}"], stored, ABSOLUTE["fp32"], same=False)

    def test_int8(self) -> None:
        """Each sample is five limits of int8 away from all others."""
        stored = STORED[f"fp32-onnxruntime-fp32-{ALL}"]
        cosine = stored @ stored.T

        assert (1 - cosine[~np.eye(len(stored), dtype=bool)]).min() > 5 * INT8

    def test_other_trainings(self) -> None:
        """The losses of two neighboring epochs differ by ten limits, the two stored models by far more than one."""
        with open(SHELF / "short.csv") as file:
            losses = np.array([float(row["loss"]) for row in csv.DictReader(file)])

        assert (np.abs(np.diff(losses)) / losses[1:]).min() > 10 * LOSS
        assert departure(STORED["best.pth"], STORED["short.safetensors"]) > 10 * RESUMED

    def test_not_a_number(self) -> None:
        """NaN is equal to nothing stored."""
        stored = STORED["best.pth"]

        for same in (True, False):
            with pytest.raises(AssertionError):
                assert_equal(np.full_like(stored, np.nan), stored, ABSOLUTE["fp32"], same)
