"""Compare the numbers of two commits on one checkpoint: embeddings, int8 scales, parity, retrieval, training losses.

    python benchmarks/compare_commits.py A B [--ckpt FILE --data ROOT]

Each commit is installed in a temporary folder, over the packages of the Python that runs this, and runs the same
commands on the CPU. Exit code 0: B has all numbers of A, bit for bit; 1: something differs; 2: a command failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click
from commit_numbers import Row, compare, markdown, read

ROOT = Path(__file__).parents[1]
SHELF = ROOT / "tests" / "shelf"
FILE = click.Path(exists=True, path_type=Path)
#: What is compared: the quantity, and the file that the commands of `measure` write.
QUANTITIES = {
    "fp32 embeddings": "fp32.npz",
    "fp32 embeddings, nir missing": "rgb-tir.npz",
    "fp16 embeddings": "fp16.npz",
    "int8 embeddings": "int8.npz",
    "golden outputs, fp32": "fp32.mambapro/golden.npz",
    "golden outputs, fp16": "fp16.mambapro/golden.npz",
    "parity report, fp32": "fp32.mambapro/parity.json",
    "parity report, fp16": "fp16.mambapro/parity.json",
    "int8 scale table": "scales.json",
    "retrieval, fp32 bundle": "bundle.json",
    "retrieval, PyTorch": "checkpoint.json",
    "losses of 20 training steps": "run/log.csv",
    "weights after them": "run/best.pth",
}


class Failed(click.ClickException):
    """A command of a commit failed."""

    exit_code = 2


@click.command(help=__doc__)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--ckpt", type=FILE, default=SHELF / "best.pth", help="Checkpoint; default: that of tests/shelf.")
@click.option(
    "--data", type=FILE, default=SHELF / "data", help="Benchmark in the layout of RGBNT201; default: likewise."
)
def main(first: str, second: str, ckpt: Path, data: Path) -> None:
    """Print the table of two commits."""
    with tempfile.TemporaryDirectory(prefix="compare-commits-") as name:
        folders = [Path(name) / side for side in ("a", "b")]
        for folder, commit in zip(folders, (first, second), strict=True):
            click.echo(f"{commit}: installing and running", err=True)
            measure(install(commit, folder), folder, ckpt.resolve(), data.resolve())
        rows = [
            compare(quantity, *(read(folder / file) for folder in folders)) for quantity, file in QUANTITIES.items()
        ]
    click.echo(f"{first} -> {second}\n\n{markdown(rows)}")
    sys.exit(verdict(rows))


def verdict(rows: list[Row]) -> int:
    """Return the exit code of a comparison."""
    return 0 if all(row.equal for row in rows) else 1


def install(commit: str, folder: Path) -> Path:
    """Check a commit out and install it; returns the Python that has it and all packages of this one."""
    tree, environment = folder / "tree", folder / "environment"
    tree.mkdir(parents=True)
    # an archive, not a worktree: nothing stays behind in the repository, however this ends
    run(["git", "-C", str(ROOT), "archive", "--output", str(folder / "tree.tar"), commit], folder)
    run(["tar", "-xf", str(folder / "tree.tar"), "-C", str(tree)], folder)
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python*/site-packages")
    shared = [path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()]
    (site / "packages.pth").write_text("\n".join(shared) + "\n")
    run([*pip_install(python), "--editable", str(tree)], folder)
    place = run([str(python), "-c", "import mambapro; print(mambapro.__file__)"], folder).strip()
    if not Path(place).resolve().is_relative_to(tree.resolve()):
        raise Failed(f"{commit} is hidden by {place}. Run this with a Python that has no mambapro, or an editable one.")
    return python


def pip_install(python: Path) -> list[str]:
    """Return pip for another Python; it downloads build tools where this one has old ones."""
    tools = version("setuptools") if find_spec("setuptools") else "0"
    own = ["--no-build-isolation"] if int(tools.split(".")[0]) >= 77 else []
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    return [*pip, "install", "--no-deps", *own]


def measure(python: Path, folder: Path, ckpt: Path, data: Path) -> None:
    """Run one commit's commands; they write the files of QUANTITIES into `folder`.

    Options have the names of the older commit: later ones accept them.
    """

    def mambapro(*arguments: object) -> str:
        return run([str(python), "-m", "mambapro", *map(str, arguments)], folder)

    benchmark = ("--data", data, "--dataset", "rgbnt201")
    mambapro("export", "--ckpt", ckpt, *benchmark, "--output", "fp32.mambapro")
    mambapro("export", "--ckpt", ckpt, *benchmark, "--fp16", "--max-map-drop", 5, "--output", "fp16.mambapro")
    (folder / "bundle.json").write_text(mambapro("eval", "fp32.mambapro", *benchmark, "--device", "cpu", "--json"))
    (folder / "checkpoint.json").write_text(mambapro("eval", "--ckpt", ckpt, *benchmark, "--device", "cpu", "--json"))
    mambapro("calibrate", "fp32.mambapro", "--calib", data, "--dataset", "rgbnt201", "--out", "scales.json")
    extract_all(mambapro, data)
    train(mambapro)


def extract_all(mambapro: Callable[..., str], data: Path) -> None:
    """Extract embeddings in each precision; int8 is built last, since it would be the fastest."""
    test = data / "RGBNT201" / "test"
    rgb, nir, tir = ("--rgb", test / "RGB"), ("--nir", test / "NI"), ("--tir", test / "TI")
    cameras = ("--camera-pattern", r"cam(\d+)", "--first-camera", 1, "--device", "cpu", "--target", "onnxruntime")
    mambapro("extract", "fp32.mambapro", *rgb, *nir, *tir, *cameras, "--out", "fp32.npz")
    mambapro("extract", "fp32.mambapro", *rgb, *tir, *cameras, "--out", "rgb-tir.npz")
    mambapro("extract", "fp16.mambapro", *rgb, *nir, *tir, *cameras, "--out", "fp16.npz")
    int8 = ("--target", "onnxruntime", "--precision", "int8")
    mambapro("build", "fp32.mambapro", *int8, "--scales", "scales.json", "--force")
    mambapro("extract", "fp32.mambapro", *rgb, *nir, *tir, *cameras, "--precision", "int8", "--out", "int8.npz")


def train(mambapro: Callable[..., str]) -> None:
    """Train 20 epochs of one step: a batch holds every image of the shelf."""
    solver = ("identities_per_batch=6", "images_per_identity=4", "epochs=20")
    changes = [part for change in solver for part in ("--set", f"solver.{change}")]
    recipe = ("--config", SHELF / "recipe.toml", *changes, "--seed", 1, "--device", "cpu")
    mambapro("train", *recipe, "--data", SHELF / "data", "--out", "run")


def run(command: list[str], folder: Path) -> str:
    """Run a command in a folder; returns its standard output."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise Failed(f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


if __name__ == "__main__":
    main()
