"""What a wheel holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHELF = ROOT / "tests" / "shelf"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's tracked files."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip(f"needs a git checkout: {tracked.stderr.strip()}")
    for name in tracked.stdout.split("\n"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    return source


def built(source: Path, kind: str) -> Path:
    """The wheel of a copy of the repository, "" for everything or "device"."""
    folder = source.parent / f"wheels{kind}"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "MAMBAPRO_WHEEL": kind})
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path) -> zipfile.ZipFile:
    """The project as a wheel."""
    return zipfile.ZipFile(built(source, ""))


@pytest.fixture(scope="module")
def device_wheel(source: Path, wheel: zipfile.ZipFile) -> Path:
    """The wheel for devices, built after the other one in the same folder."""
    return built(source, "device")


@pytest.fixture(scope="module")
def device(device_wheel: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `mambapro` of an environment that has the wheel for devices, and the packages of this one but mambapro."""
    folder = device_wheel.parent / "environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(device_wheel)], check=True, capture_output=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # a line of a .pth file adds a folder without the .pth files in it: an editable mambapro there is not found
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "others.pth").write_text("\n".join(others) + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "bin" / "mambapro"), *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every module, the recipes, templates of pages, the scan's kernel, sources and PTX; no tests, no setup.py."""
    folders = ("calib", "cli", "common", "export", "graph", "plugins", "runtime", "synthetic", "train")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    wanted = {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in modules}
    root = ("__init__.py", "__main__.py", "errors.py", "moved.py", "telemetry.py", "py.typed")
    wanted |= {f"mambapro/{name}" for name in root}
    tables = [*(ROOT / "train" / "engine" / "recipes").glob("*.toml"), *(ROOT / "synthetic").rglob("*.toml")]
    wanted |= {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in tables}
    pages = [path for folder in ("common", "export", "runtime", "train") for path in (ROOT / folder).rglob("pages/*")]
    wanted |= {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in pages}
    scan = ROOT / "plugins" / "selective_scan"
    sources = [
        *scan.glob("contract/*.cpp"),
        *scan.glob("contract/*.h"),
        *scan.glob("*/csrc/*"),
        *scan.glob("cuda/ptx/*"),
    ]
    wanted |= {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in sources}
    wanted.add("mambapro/plugins/selective_scan/cpu/libmambapro_scan_cpu.so")

    found = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert found == wanted


def test_wheel_has_both_commands_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """Entry points `mambapro` and `mambapro-export`; the licence travels along."""
    names = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    entries = wheel.read(names["entry_points.txt"]).decode()

    assert "mambapro = mambapro.cli.entry:main" in entries
    assert "mambapro-export = mambapro.cli.entry:export_main" in entries
    assert any("LICENSE" in name for name in names)


def test_wheel_serves_every_python_of_the_platform(wheel: zipfile.ZipFile) -> None:
    """The kernel is no Python module: one wheel for all versions, one for each platform."""
    assert "-py3-none-" in str(wheel.filename)
    assert not str(wheel.filename).endswith("-any.whl")


def test_device_wheel_holds_the_runtime_alone(wheel: zipfile.ZipFile, device_wheel: Path) -> None:
    """It is the other wheel without training, export, calibration, graph passes and drawing; its version tells."""
    left_out = tuple(f"mambapro/{folder}/" for folder in ("calib", "export", "graph", "synthetic", "train"))
    names = {name for name in zipfile.ZipFile(device_wheel).namelist() if ".dist-info/" not in name}

    assert names == {n for n in wheel.namelist() if ".dist-info/" not in n and not n.startswith(left_out)}
    assert "+device-py3-none-" in device_wheel.name


@pytest.mark.skipif(sys.platform == "win32", reason="the environment's folders are those of POSIX")
class TestOnDevice:
    def test_check_extract_and_bench(self, device: Callable[..., Any], tmp_path: Path) -> None:
        """A bundle is checked, run on images and timed."""
        bundle = tmp_path / "fp32.mambapro"
        shutil.copytree(SHELF / "fp32.mambapro", bundle)
        images = SHELF / "data" / "RGBNT201" / "test"
        sensors = ("--rgb", images / "RGB", "--nir", images / "NI", "--tir", images / "TI")

        for arguments in (
            ("check", bundle),
            ("extract", bundle, *sensors, "--out", tmp_path / "features.npz"),
            ("bench", bundle, "--runs", 2),
            ("eval", bundle, "--data", SHELF / "data", "--dataset", "rgbnt201", "--bootstrap", 0),
            ("env",),
            ("plugins", "list"),
        ):
            done = device(*arguments)
            assert done.returncode == 0, done.stderr
        assert len(np.load(tmp_path / "features.npz")["embeddings"]) == 32

    @pytest.mark.parametrize(
        "arguments",
        [
            ("synth", "--out", "data", "--dataset", "rgbnt201"),
            ("export", "--ckpt", "none.pth"),
            ("build", "none.mambapro", "--target", "openvino", "--precision", "bf16"),
            ("train", "--config", "tiny", "--data", "data", "--dataset", "rgbnt201", "--out", "run"),
            ("calibrate", "none.mambapro", "--calib", "data", "--dataset", "rgbnt201", "--out", "scales.json"),
        ],
        ids=lambda arguments: arguments[0],
    )
    def test_what_it_lacks_is_named(self, device: Callable[..., Any], arguments: tuple[str, ...]) -> None:
        """Commands of the parts that are left out end with exit code 3 and say what to install."""
        done = device(*arguments)

        assert done.returncode == 3, done.stderr
        assert "the installation for devices, without mambapro/" in done.stderr
