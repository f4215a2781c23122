"""Entry points of the product: commands that read a file of some kind, and where the file has to stand for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .materials import Materials, relist

#: Exit codes that the documentation knows.
CODES = (0, 1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True)
class Entry:
    """One command over one kind of file.

    Attributes:
        name: shown in tables.
        kind: of `Materials.seeds`.
        place: puts a file into an empty folder with all that the command needs, and returns the arguments.
        weight: share of the cases, against other entries.
        starts: programs that it starts on good files too: Python, for timing in a process of its own.
        trains: a training may go on for long.
    """

    name: str
    kind: str
    place: Callable[[Materials, Path, Path, Path], list[str]]
    weight: int = 1
    starts: bool = False
    trains: bool = False

    def arguments(self, made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
        """Lay out `file`, which stands in for the good file `seed`, in `folder`; the arguments of the command."""
        return self.place(made, seed, file, folder)


def _data(made: Materials) -> list[str]:
    return ["--data", str(made.data), "--dataset", "rgbnt201"]


def _extract(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    rgb = folder / "rgb"
    rgb.mkdir()
    os.rename(file, rgb / f"a{seed.suffix}")
    return ["extract", str(made.bundle), "--rgb", "rgb", "--out", "out.npz"]


def _calibrate_images(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    rgb = folder / "calib" / "rgb"
    rgb.mkdir(parents=True)
    for number in range(8):
        os.link(made.folder / "images" / "colour.jpg", rgb / f"{number}.jpg")
    os.rename(file, rgb / f"a{seed.suffix}")
    return ["calibrate", str(made.bundle), "--calib", "calib", "--images", "9", "--out", "s.json", "--cache", "cache"]


def _linked(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link)


def _with_image(made: Materials, file: Path, folder: Path, part: str) -> list[str]:
    """A copy of the data set in which one RGB image of a part is `file`."""
    _linked(made.data, folder / "data")
    found = next(iter(sorted((folder / "data").glob(f"RGBNT201/{part}/RGB/*.jpg"))))
    os.replace(file, found)
    return ["--data", "data", "--dataset", "rgbnt201"]


def _eval(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["eval", str(made.bundle), *_with_image(made, file, folder, "test"), "--bootstrap", "0"]


def _eval_checkpoint(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    size = ["--image-size", "32x16"] if seed.name in ("authors.pth", "old.pth") else []
    return ["eval", "--ckpt", str(file), *size, *_data(made), "--bootstrap", "0"]


def _explain_images(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    data = _with_image(made, file, folder, "test")
    return [
        "explain",
        "--ckpt",
        str(made.checkpoint),
        *data,
        "--out",
        "out",
        "--identities",
        "2",
        "--only",
        "similarity",
    ]


def _train_images(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    data = _with_image(made, file, folder, "train_171")
    return ["train", "--config", str(made.folder / "recipes" / "recipe.toml"), *data, "--out", "out"]


def _export(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    size = ["--image-size", "32x16"] if seed.name in ("authors.pth", "old.pth") else []
    return ["export", "--ckpt", str(file), *size, "--output", "out.mambapro", "--dry-run"]


def _info_checkpoint(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["info", "--ckpt", str(file), "--dataset", "rgbnt201"]


def _backbone(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    recipe = str(made.folder / "recipes" / "recipe.toml")
    return ["train", "--config", recipe, *_data(made), "--out", "out", "--backbone", str(file)]


def _info_recipe(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["info", "--config", str(file)]


def _train_recipe(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["train", "--config", str(file), *_data(made), "--out", "out"]


def _resume(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    shutil.copytree(made.run, folder / "run")
    os.replace(file, folder / "run" / "state.pth")
    recipe = str(made.folder / "recipes" / "recipe.toml")
    return ["train", "--config", recipe, *_data(made), "--out", "run", "--resume", "--set", "save_every=1"]


def _bundle(made: Materials, seed: Path, file: Path, folder: Path) -> str:
    """A copy of the bundle in which `seed` is `file`; SHA256SUMS agrees, as an attacker would see to.

    A folder is a bundle itself.
    """
    if file.is_dir():
        return file.name
    _linked(made.bundle, folder / "b.mambapro")
    os.replace(file, folder / "b.mambapro" / seed.name)
    if seed.name != "SHA256SUMS":
        # it is a link to the good bundle's, and would be written into
        (folder / "b.mambapro" / "SHA256SUMS").unlink()
        relist(folder / "b.mambapro")
    return "b.mambapro"


def _check(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["check", _bundle(made, seed, file, folder)]


def _extract_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    images = str(made.data / "RGBNT201" / "test" / "RGB")
    return ["extract", _bundle(made, seed, file, folder), "--rgb", images, "--out", "out.npz"]


def _eval_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["eval", _bundle(made, seed, file, folder), *_data(made), "--bootstrap", "0"]


def _bench(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["bench", _bundle(made, seed, file, folder), "--runs", "2", "--warmup", "0"]


def _calibrate_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    bundle = _bundle(made, seed, file, folder)
    calib = ["--calib", str(made.data), "--dataset", "rgbnt201", "--images", "8"]
    return ["calibrate", bundle, *calib, "--out", "s.json", "--cache", "cache"]


def _report(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["report", _bundle(made, seed, file, folder), "--runs", "2"]


def _build(made: Materials, folder: Path) -> list[str]:
    _linked(made.bundle, folder / "b.mambapro")
    return ["build", "b.mambapro", "--target", "onnxruntime", "--precision", "int8", "--force"]


def _build_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return ["build", _bundle(made, seed, file, folder), "--target", "onnxruntime", "--precision", "fp16"]


def _table(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return [*_build(made, folder), "--scales", str(file)]


def _policy(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    return [*_build(made, folder), "--scales", str(made.table), "--policy", str(file)]


def _report_analysis(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    _linked(made.analysis, folder / "analysis")
    os.replace(file, folder / "analysis" / seed.name)
    return ["report", str(made.bundle), "--runs", "2", "--sensitivity", "analysis"]


def _sensitivity(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    shutil.copytree(made.analysis, folder / "analysis")
    os.replace(file, folder / "analysis" / seed.name)
    few = ["--images", "8", "--calib-images", "8", "--group", "kind"]
    on = ["--calib", str(made.data), "--dataset", "rgbnt201"]
    return ["sensitivity", str(made.bundle), *on, *few, "--out", "analysis"]


def _ablate(made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
    shutil.copytree(made.ablation, folder / "out")
    os.replace(file, folder / "out" / seed.relative_to(made.ablation))
    tower = ["--rows", "C", "--config", str(made.folder / "recipes" / "recipe.toml")]
    tower += ["--backbone", str(made.checkpoint)]
    return ["ablate", "3", *tower, *_data(made), "--out", "out"]


ENTRIES = (
    Entry("extract, image", "images", _extract, weight=60),
    Entry("calibrate, image", "images", _calibrate_images, weight=8),
    Entry("eval, image", "images", _eval, weight=8),
    Entry("explain, image", "images", _explain_images, weight=4),
    Entry("train, image", "images", _train_images, weight=4, trains=True),
    Entry("export, checkpoint", "checkpoints", _export, weight=30),
    Entry("info, checkpoint", "checkpoints", _info_checkpoint, weight=8),
    Entry("eval, checkpoint", "checkpoints", _eval_checkpoint, weight=6),
    Entry("train, backbone", "checkpoints", _backbone, weight=4, trains=True),
    Entry("info, recipe", "recipes", _info_recipe, weight=10),
    Entry("train, recipe", "recipes", _train_recipe, weight=6, trains=True),
    Entry("train, state", "states", _resume, weight=8, trains=True),
    Entry("check, bundle", "bundle", _check, weight=20),
    Entry("extract, bundle", "bundle", _extract_bundle, weight=14),
    Entry("eval, bundle", "bundle", _eval_bundle, weight=4),
    Entry("bench, bundle", "bundle", _bench, weight=4),
    Entry("calibrate, bundle", "bundle", _calibrate_bundle, weight=8),
    Entry("report, bundle", "bundle", _report, weight=2, starts=True),
    Entry("build, bundle", "bundle", _build_bundle, weight=4, starts=True),
    Entry("build, table", "tables", _table, weight=4, starts=True),
    Entry("report, analysis", "analysis", _report_analysis, weight=2, starts=True),
    Entry("sensitivity, analysis", "analysis", _sensitivity, weight=4, starts=True),
    Entry("ablate, result", "ablation", _ablate, weight=4, trains=True),
    Entry("build, policy", "policies", _policy, weight=4, starts=True),
)
