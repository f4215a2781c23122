"""What a wheel holds."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The project built from a copy of its tracked files."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip(f"needs a git checkout: {tracked.stderr.strip()}")
    for name in tracked.stdout.split("\n"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every module, the recipes, templates of pages, the scan's kernel, sources and PTX; no tests, no setup.py."""
    folders = ("calib", "cli", "common", "export", "graph", "plugins", "runtime", "synthetic", "train")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    wanted = {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in modules}
    root = ("__init__.py", "__main__.py", "errors.py", "moved.py", "telemetry.py", "py.typed")
    wanted |= {f"mambapro/{name}" for name in root}
    recipes = (ROOT / "train" / "engine" / "recipes").glob("*.toml")
    wanted |= {f"mambapro/{path.relative_to(ROOT).as_posix()}" for path in recipes}
    pages = [path for folder in ("common", "export", "train") for path in (ROOT / folder).rglob("pages/*")]
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
