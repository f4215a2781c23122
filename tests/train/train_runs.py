"""Trainings in processes of their own, for tests; train_process.py is what runs in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mambapro.train.models.checkpoints.weights import load_checkpoint
from PIL import Image

SCRIPT = Path(__file__).with_name("train_process.py")
IDENTITIES = 6
#: Three batches an epoch.
CHANGES = [
    "solver.epochs=3",
    "solver.warmup_epochs=1",
    "solver.identities_per_batch=2",
    "solver.images_per_identity=4",
    "augmentation.padding=2",
]


def draw(folder: Path) -> Path:
    """Four images of each identity in its own colours."""
    for number in range(4 * IDENTITIES):
        colours = np.random.default_rng(number // 4).integers(0, 200, (3, 1, 1, 3))
        noise = np.random.default_rng((1, number)).integers(0, 56, (3, 32, 16, 3))
        for name, image in zip(("rgb", "nir", "tir"), (colours + noise).astype(np.uint8), strict=True):
            Image.fromarray(image).save(folder / f"{number}_{name}.png")
    return folder


def request(tmp_path: Path, images: Path, out: str, *changes: str, **more: Any) -> list[str]:
    """The command of a training into the folder `out`."""
    path = tmp_path / f"{out}-{len(list(tmp_path.glob('*.json')))}.json"
    values = {"recipe": "tiny", "images": str(images), "identities": IDENTITIES, "direct": True}
    path.write_text(json.dumps({**values, "changes": [*CHANGES, *changes], "out": str(tmp_path / out), **more}))
    return [sys.executable, str(SCRIPT), str(path)]


def run(*arguments: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(request(*arguments, **more), capture_output=True, text=True, check=False)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).state_dict()
