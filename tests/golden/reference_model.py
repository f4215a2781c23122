"""Generated weights and inputs of the reference model, and what it returned for them.

Every array has a generator of its own, seeded by crc32(name) XOR seed, so a tensor depends on its name, shape and seed
alone. `crc.json` holds checksums that the arrays must have: the numbers in eval_*.npz belong to exactly these weights.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent
SEED = 1
CONFIGS = tuple(json.loads((FOLDER / "manifests.json").read_text())["configs"])

# (part of the key, standard deviation); the first that fits counts
_STD = (
    ("adapter_prompt_", 0.02),
    ("cv_embed", 0.20),
    ("positional_embedding", 0.10),
    ("attn.in_proj_weight", 0.045),
    ("attn.out_proj.weight", 0.03),
    ("adapter_ffn.", 0.02),
    ("adapter_", 0.05),
    ("conv2d_", 0.30),
    ("x_proj.weight", 0.02),
    ("dt_proj.weight", 0.15),
    ("in_proj_", 0.04),
    ("out_proj.weight", 0.02),
    ("linear_reduction_", 0.04),
    ("base.proj", 0.04),
    ("", 0.02),
)


class Entry(NamedTuple):
    """One line of a state dict: key, shape, dtype, whether the optimiser sees it."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool


class Manifest(NamedTuple):
    """What a checkpoint of one configuration holds, and how it was trained."""

    name: str
    dataset: str
    image_size: tuple[int, int]
    flags: dict[str, Any]
    entries: tuple[Entry, ...]

    @property
    def switches(self) -> dict[str, Any]:
        """The flags as load_checkpoint takes them."""
        names = ("PROMPT", "ADAPTER", "MAMBA", "SIE_CAMERA", "SIE_COE", "DIRECT")
        values = {name.lower(): self.flags[name] for name in names}
        return {**values, "direct": bool(values["direct"])}


@cache
def manifest(config: str) -> Manifest:
    """The manifest of a configuration."""
    stored = json.loads((FOLDER / "manifests.json").read_text())
    about = stored["configs"][config]
    base = stored["entries"]["mamba_bi" if about["flags"]["MAMBA_BI"] else "full"]
    rows = {"BACKBONE.cv_embed": about["cameras"]}
    heads = ("BACKBONE.classifier.weight", "classifier.weight", "classifier_fuse.weight")
    rows |= dict.fromkeys(heads, about["train_ids"])
    entries = tuple(
        Entry(key, (rows[key], *shape[1:]) if key in rows else tuple(shape), dtype, trainable)
        for key, shape, dtype, trainable in base
    )
    return Manifest(config, about["dataset"], tuple(about["size_hw"]), about["flags"], entries)


def _normal(name: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    seeds = zlib.crc32(name.encode()) ^ seed
    return np.random.Generator(np.random.PCG64(seeds)).standard_normal(shape)


def weight(key: str, shape: tuple[int, ...], dtype: str = "float32", seed: int = SEED) -> np.ndarray:
    """One tensor of the state dict."""
    if dtype == "int64":
        return np.zeros(shape, np.int64)
    n, leaf = _normal(key, shape, seed), key.rsplit(".", 1)[-1]
    special = {
        "running_var": lambda: 0.5 + 0.5 * n * n,
        "running_mean": lambda: 0.10 * n,
        "A_log": lambda: np.log(np.arange(1.0, shape[1] + 1.0))[None] + 0.05 * n,
        "D": lambda: 1.0 + 0.10 * n,
        "class_embedding": lambda: 0.30 * n,
    }
    if leaf in special:
        value = special[leaf]()
    elif key.endswith("dt_proj.bias"):
        value = -2.5 + n
    elif len(shape) == 1:
        value = 1.0 + 0.10 * n if leaf == "weight" else 0.05 * n
    else:
        value = next(std for part, std in _STD if part in key) * n
    return value.astype(np.float32)


def state(config: str) -> dict[str, np.ndarray]:
    """The whole state dict, in the authors' order."""
    return {entry.key: weight(*entry[:3]) for entry in manifest(config).entries}


def images(dataset: str, size: tuple[int, int], batch: int = 2) -> np.ndarray:
    """uint8 (batch, 3 modalities, H, W, 3): blocks of 32 pixels and noise."""
    height, width = size
    sensors = []
    for name in ("RGB", "NI", "TI"):
        prefix = f"input/{dataset}/{batch}/{name}"
        coarse = _normal(f"{prefix}/coarse", (batch, 3, height // 32, width // 32))
        fine = _normal(f"{prefix}/fine", (batch, 3, height, width))
        value = 127.5 + 55.0 * coarse.repeat(32, axis=2).repeat(32, axis=3) + 25.0 * fine
        sensors.append(np.clip(np.rint(value), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
    return np.stack(sensors, 1)


def normalised(pixels: np.ndarray) -> np.ndarray:
    """uint8 (B, 3, H, W, 3) -> float32 (B, 3 modalities, 3 channels, H, W), mean 0.5, std 0.5."""
    half = np.float32(0.5)
    return ((pixels.astype(np.float32) / np.float32(255) - half) / half).transpose(0, 1, 4, 2, 3).copy()


def expected(config: str) -> dict[str, np.ndarray]:
    """What the reference model returned for `images` of the configuration's data set."""
    with np.load(FOLDER / f"eval_{config}.npz") as arrays:
        return dict(arrays)
