"""Good files of every kind that the product reads, of a tiny model and a small drawn benchmark: what is mutated."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image

#: Pixels of the model's input.
_SIZE = (32, 16)
FOLDERS = {"bundle": "tiny.mambapro", "analysis": "analysis"}
#: Files of the labeled images.
LABELED = {"matlab": "PETA.mat", "pickles": "dataset_zs_run0.pkl", "attributes": "attributes.json"}
_IMAGES = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP", "pgm": "PPM"}


class Materials:
    """Paths of the good files below one folder.

    Attributes:
        bundle: a float32 bundle; checkpoint: its model, in the project's format; table: its scales.
        data: root of a drawn RGBNT201 of four identities in each part.
        run: a training that was killed and may be resumed.
        labeled: a drawn PETA-ZS, and its attributes.json.
        analysis: results of a sensitivity analysis of the bundle; ablation: of one row of a table.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle, self.checkpoint = folder / "tiny.mambapro", folder / "checkpoints" / "tiny.pth"
        self.data, self.table, self.run = folder / "data", folder / "tables" / "scales.json", folder / "run"
        self.analysis, self.ablation = folder / "analysis", folder / "ablation"
        self.labeled = folder / "labeled"

    def seeds(self, kind: str) -> list[Path]:
        """The good files of a kind, such as "images"; see the entries."""
        if kind in ("bundle", "analysis"):
            return sorted(path for path in (self.folder / FOLDERS[kind]).iterdir() if path.is_file())
        if kind in LABELED:
            return [self.labeled / LABELED[kind]]
        if kind == "ablation":
            return sorted(self.ablation.rglob("*.json"))
        if kind == "states":
            return [self.run / "state.pth"]
        return sorted((self.folder / kind).iterdir())


def make(folder: Path, kinds: Collection[str]) -> Materials:
    """Write the materials into an empty folder, by the product's own commands; what takes long only for its kinds."""
    made = Materials(folder)
    for kind in ("images", "checkpoints", "recipes", "policies", "tables"):
        (folder / kind).mkdir()
    _images(folder / "images")
    _checkpoints(made)
    recipe, data, bundle = folder / "recipes" / "recipe.toml", str(made.data), str(made.bundle)
    recipe.write_text(_RECIPE, encoding="utf-8")
    (folder / "policies" / "policy.toml").write_text(_POLICY, encoding="utf-8")
    counts = ["--train-identities", "4", "--test-identities", "4", "--images", "4"]
    on = ["--data", data, "--dataset", "rgbnt201"]
    calib = ["--calib", data, "--dataset", "rgbnt201", "--images", "8"]
    _run("synth", "--out", data, "--dataset", "rgbnt201", *counts)
    _run("export", "--ckpt", str(made.checkpoint), "--output", bundle, "--dataset", "rgbnt201")
    _run("calibrate", bundle, *calib, "--out", str(made.table))
    for beside in made.table.parent.glob("*.images.json"):
        beside.unlink()
    if LABELED.keys() & set(kinds):
        _run("synth", "--out", str(made.labeled), "--dataset", "peta-zs", "--images", "40")
        _run("convert", str(made.labeled), "--dataset", "peta-zs", "--out", str(made.labeled))
    if "analysis" in kinds:
        few = ["--calib-images", "8", "--group", "kind"]
        _run("sensitivity", bundle, *calib, *few, "--out", str(made.analysis))
    if "ablation" in kinds:
        tower = ["--rows", "C", "--config", str(recipe), "--backbone", str(made.checkpoint)]
        _run("ablate", "3", *tower, *on, "--out", str(made.ablation))
    if "states" in kinds:
        _interrupted(made, ["train", "--config", str(recipe), *on, "--out", str(made.run), "--set", "save_every=1"])
    return made


def _run(*command: str) -> None:
    from mambapro.cli.main import run

    if code := run(command):
        raise SystemExit(f"the materials cannot be made: mambapro {' '.join(command)} ended with {code}")


def _interrupted(made: Materials, command: list[str]) -> None:
    """A training that is killed as soon as there is something to resume."""
    process = subprocess.Popen([sys.executable, "-m", "mambapro", *command])
    while process.poll() is None and not (made.run / "state.pth").exists():
        time.sleep(0.002)
    process.kill()
    process.wait()
    if not (made.run / "state.pth").exists():
        raise SystemExit("the training was over before it could be interrupted; start again")


def _images(folder: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 12, 3), np.uint8)
    for suffix, name in _IMAGES.items():
        Image.fromarray(picture).convert("L" if suffix == "pgm" else "RGB").save(folder / f"colour.{suffix}", name)
    deep = Image.fromarray((picture[:, :, 0].astype(np.uint16) * 200).astype(np.uint16))
    deep.save(folder / "deep.png")
    deep.save(folder / "deep.tif", compression="tiff_lzw")
    Image.fromarray(picture).quantize(16).save(folder / "palette.png", transparency=3)
    Image.fromarray(picture).convert("CMYK").save(folder / "cmyk.jpg", progressive=True)
    Image.fromarray(picture).save(folder / "exif.jpg", exif=_exif())


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _checkpoints(made: Materials) -> None:
    import torch
    from mambapro.train.models.checkpoints.weights import save_checkpoint
    from mambapro.train.models.mambapro.sizes import build_model

    torch.manual_seed(0)
    narrow = {"width": 64, "depth": 2, "mlp_width": 64, "embed_dim": 32, "adapter_width": 16, "transfer_width": 16}
    model = build_model("tiny", image_size=_SIZE, cameras=4, identities=4, **narrow, scan_channels=64)
    folder = made.checkpoint.parent
    save_checkpoint(model, made.checkpoint, training={"dataset": "rgbnt201"})
    save_checkpoint(model, folder / "tiny.safetensors", training={"dataset": "rgbnt201"})
    save_checkpoint(model, folder / "authors.pth", layout="authors")
    # the format before torch 1.6: one pickle after the other, and no archive
    authors = torch.load(folder / "authors.pth", weights_only=True)
    torch.save(authors, folder / "old.pth", _use_new_zipfile_serialization=False)
    small = dict(list(authors.items())[:3])
    torch.save({"state_dict": small, "epoch": 3}, folder / "wrapped.pth")


def relist(bundle: Path) -> None:
    """Make SHA256SUMS say what is there, as an attacker would."""
    from mambapro.runtime.bundle.checksums import write_sums

    write_sums(bundle)


_RECIPE = """\
name = "fuzz"
seed = 1
validation_identities = 0
[model]
size = "tiny"
image_size = [32, 16]
frozen = false
[model.overrides]
width = 64
depth = 2
mlp_width = 64
embed_dim = 32
adapter_width = 16
transfer_width = 16
scan_channels = 64
[solver]
epochs = 3
warmup_epochs = 0
base_lr = 2e-3
identities_per_batch = 2
images_per_identity = 2
[augmentation]
padding = 4
erase = 0.25
"""
_POLICY = """\
default = "int8"

[modules]
"backbone.layers.*.mlp.outer" = "float"
aggregation = "float"
"""
