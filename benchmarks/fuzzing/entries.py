"""Entry points of the product: commands that read a file of some kind, and where the file has to stand for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .materials import LABELED, Materials, relist

#: Exit codes that the documentation knows.
CODES = (0, 1, 2, 3, 4, 5, 6, 7)
#: Puts a file in the place of a good one in an empty folder: (materials, good file, file, folder).
Place = Callable[[Materials, Path, Path, Path], object]


@dataclass(frozen=True)
class Entry:
    """One command over one kind of file.

    Attributes:
        name: shown in tables.
        kind: of `Materials.seeds`.
        line: arguments, with names in braces for paths.
        place: lays out the file in an empty folder with all that the command needs; None: the line names it.
        weight: share of the cases, against other entries.
        starts: programs that it starts on good files too: Python, for timing in a process of its own.
        trains: a training may go on for long.
    """

    name: str
    kind: str
    line: str
    place: Place | None = None
    weight: int = 4
    starts: bool = False
    trains: bool = False

    def arguments(self, made: Materials, seed: Path, file: Path, folder: Path) -> list[str]:
        """Lay out `file`, which stands in for the good file `seed`, in `folder`; the arguments of the command."""
        is_bundle = file.is_dir()
        if self.place is not None:
            self.place(made, seed, file, folder)
        paths = {
            "file": file,
            "changed": file.name if is_bundle else "b.mambapro",
            "bundle": made.bundle,
            "data": made.data,
            "images": made.data / "RGBNT201" / "test" / "RGB",
            "checkpoint": made.checkpoint,
            "recipe": made.folder / "recipes" / "recipe.toml",
            "table": made.table,
            "size": "--image-size=32x16" if seed.name in ("authors.pth", "old.pth") else "",
        }
        return [argument for word in self.line.split() if (argument := word.format(**paths))]


def _linked(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link)


def _image(made: Materials, seed: Path, file: Path, folder: Path) -> None:
    (folder / "rgb").mkdir()
    os.rename(file, folder / "rgb" / f"a{seed.suffix}")


def _with_eight_good(made: Materials, seed: Path, file: Path, folder: Path) -> None:
    _image(made, seed, file, folder)
    for number in range(8):
        os.link(made.folder / "images" / "colour.jpg", folder / "rgb" / f"{number}.jpg")
    (folder / "calib").mkdir()
    os.rename(folder / "rgb", folder / "calib" / "rgb")


def _in_data(part: str, made: Materials, seed: Path, file: Path, folder: Path) -> None:
    """A copy of the data set in which one RGB image of a part is the file."""
    _linked(made.data, folder / "data")
    os.replace(file, min((folder / "data").glob(f"RGBNT201/{part}/RGB/*.jpg")))


def _in_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> None:
    """A copy of the bundle with the file in it; SHA256SUMS agrees, as an attacker would see to.

    A folder is a bundle itself.
    """
    if file.is_dir():
        return
    _linked(made.bundle, folder / "b.mambapro")
    os.replace(file, folder / "b.mambapro" / seed.name)
    if seed.name != "SHA256SUMS":
        # it is a link to the good bundle's, and would be written into
        (folder / "b.mambapro" / "SHA256SUMS").unlink()
        relist(folder / "b.mambapro")


def _beside_bundle(made: Materials, seed: Path, file: Path, folder: Path) -> None:
    _linked(made.bundle, folder / "b.mambapro")


def _in(source: str, target: str, made: Materials, seed: Path, file: Path, folder: Path) -> None:
    """A copy of a folder of the materials with the file in it."""
    shutil.copytree(made.folder / source, folder / target)
    os.replace(file, folder / target / seed.relative_to(made.folder / source))


def _labeled(made: Materials, seed: Path, file: Path, folder: Path) -> None:
    """A copy of the labeled images with the file in the place of the good one of its suffix."""
    _linked(made.labeled, folder / "labeled")
    target = folder / "labeled" / next(name for name in LABELED.values() if Path(name).suffix == file.suffix)
    target.unlink()
    os.rename(file, target)


_ON = "--data {data} --dataset rgbnt201"
_HERE = "--data data --dataset rgbnt201"
_CALIB = "--calib {data} --dataset rgbnt201 --images 8"
_INT8 = "build b.mambapro --target onnxruntime --precision int8 --force --scales"

ENTRIES = (
    Entry("extract, image", "images", "extract {bundle} --rgb rgb --out out.npz", _image, weight=60),
    Entry(
        "calibrate, image", "images", "calibrate {bundle} --calib calib --images 9 --out s.json --cache cache",
        _with_eight_good, weight=8,
    ),
    Entry("eval, image", "images", f"eval {{bundle}} {_HERE} --bootstrap 0", partial(_in_data, "test"), weight=8),
    Entry(
        "explain, image", "images", f"explain --ckpt {{checkpoint}} {_HERE} --out out --identities 2 --only similarity",
        partial(_in_data, "test"),
    ),
    Entry(
        "train, image", "images", f"train --config {{recipe}} {_HERE} --out out", partial(_in_data, "train_171"),
        trains=True,
    ),
    Entry("export, checkpoint", "checkpoints", "export --ckpt {file} {size} --output o.mambapro --dry-run", weight=30),
    Entry("info, checkpoint", "checkpoints", "info --ckpt {file} --dataset rgbnt201", weight=8),
    Entry("eval, checkpoint", "checkpoints", f"eval --ckpt {{file}} {{size}} {_ON} --bootstrap 0", weight=6),
    Entry(
        "train, backbone", "checkpoints", f"train --config {{recipe}} {_ON} --out out --backbone {{file}}", trains=True
    ),
    Entry("info, recipe", "recipes", "info --config {file}", weight=10),
    Entry("train, recipe", "recipes", f"train --config {{file}} {_ON} --out out", weight=6, trains=True),
    Entry(
        "train, state", "states", f"train --config {{recipe}} {_ON} --out run --resume --set save_every=1",
        partial(_in, "run", "run"), weight=8, trains=True,
    ),
    Entry("check, bundle", "bundle", "check {changed}", _in_bundle, weight=20),
    Entry("extract, bundle", "bundle", "extract {changed} --rgb {images} --out out.npz", _in_bundle, weight=14),
    Entry("eval, bundle", "bundle", f"eval {{changed}} {_ON} --bootstrap 0", _in_bundle),
    Entry("bench, bundle", "bundle", "bench {changed} --runs 2 --warmup 0", _in_bundle),
    Entry(
        "calibrate, bundle", "bundle", f"calibrate {{changed}} {_CALIB} --out s.json --cache cache", _in_bundle,
        weight=8,
    ),
    Entry("report, bundle", "bundle", "report {changed} --runs 2", _in_bundle, weight=2, starts=True),
    Entry(
        "build, bundle", "bundle", "build {changed} --target onnxruntime --precision fp16", _in_bundle, starts=True
    ),
    Entry("build, table", "tables", f"{_INT8} {{file}}", _beside_bundle, starts=True),
    Entry(
        "report, analysis", "analysis", "report {bundle} --runs 2 --sensitivity analysis",
        partial(_in, "analysis", "analysis"), weight=2, starts=True,
    ),
    Entry(
        "sensitivity, analysis", "analysis",
        f"sensitivity {{bundle}} {_CALIB} --calib-images 8 --group kind --out analysis",
        partial(_in, "analysis", "analysis"),
        starts=True,
    ),
    Entry(
        "ablate, result", "ablation",
        f"ablate 3 --rows C --config {{recipe}} --backbone {{checkpoint}} {_ON} --out out",
        partial(_in, "ablation", "out"), trains=True,
    ),
    Entry("build, policy", "policies", f"{_INT8} {{table}} --policy {{file}}", _beside_bundle, starts=True),
    Entry("convert, matlab", "matlab", "convert labeled --dataset peta --out o.json", _labeled, weight=10),
    Entry("convert, pickle", "pickles", "convert labeled --dataset peta-zs --out o.json", _labeled, weight=10),
    Entry("convert, attributes", "attributes", "convert labeled --dataset attributes --out o.json", _labeled, weight=8),
)  # fmt: skip
