"""Weights, inputs and recorded outputs of the attribute models' reference.

A tensor is drawn from its name, shape and a seed alone, so full-size weights need no files. The outputs are those of
the public code in float64 with seed 1; of large arrays every few values are stored.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "attributes"
SEED = 1
#: Steps along the axes of stored arrays, by their number of values and axes, and for maps with channels first.
_MOST = 5000
_STEPS = {2: (1, 31), 3: (1, 5, 31), 4: (1, 3, 3, 31)}
_CHANNELS_FIRST = (1, 31, 3, 3)


def generator(name: str, seed: int) -> np.random.Generator:
    """Random numbers of one tensor."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) ^ seed))


def weight(key: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    """Values of a tensor of a state dict, float32; of a counter int64."""
    draw = generator(key, seed)
    *_, owner, leaf = ("", *key.split("."))
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    step_bias = leaf == "dt_projs_bias" or (leaf == "bias" and owner.startswith("dt_proj"))
    if step_bias or leaf == "dt_projs_weight" or (leaf == "weight" and owner.startswith("dt_proj")):
        values = draw.random(shape)
        if not step_bias:
            return ((2 * values - 1) * shape[-1] ** -0.5).astype(np.float32)
        step = np.exp(values * (np.log(0.1) - np.log(0.001)) + np.log(0.001))
        return (step + np.log(-np.expm1(-step))).astype(np.float32)
    values = draw.standard_normal(shape)
    if leaf == "running_var":
        values = 1 + 0.25 * np.abs(values)
    elif leaf in ("A_log", "A_b_log", "A_logs"):
        values = np.log(np.arange(1, shape[-1] + 1)) + 0.1 * values
    elif leaf in ("D", "D_b", "Ds") or (leaf == "weight" and len(shape) < 2):
        values = 1 + 0.1 * values
    elif leaf == "x_proj_weight":
        values *= shape[-1] ** -0.5
    elif leaf == "weight":
        values *= float(np.prod(shape[1:])) ** -0.5
    else:
        values *= 0.05 if leaf == "bias" else 0.1
    return values.astype(np.float32)


def state_of(model: nn.Module, cache: dict | None = None, seed: int = SEED) -> dict[str, Tensor]:
    """Reference weights under the names of a model; tensors that models share are drawn once into the cache."""
    cache = {} if cache is None else cache
    for key, value in model.state_dict().items():
        if (key, value.shape) not in cache:
            cache[key, value.shape] = torch.from_numpy(weight(key, tuple(value.shape), seed))
    return {key: cache[key, value.shape] for key, value in model.state_dict().items()}


def images(side: int, seed: int = SEED) -> np.ndarray:
    """Two pictures of coarse colours and noise, float32 (2, 3, side, side) in [-1, 1]."""
    draw = generator("input.images", seed)
    coarse = draw.integers(32, 224, size=(2, 8, 8, 3))
    place = np.arange(side) * 8 // side
    pixels = coarse[:, place][:, :, place] + draw.integers(-24, 25, size=(2, side, side, 3))
    x = np.clip(pixels, 0, 255).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((x - np.float32(0.5)) / np.float32(0.5)).transpose(0, 3, 1, 2))


def token_ids(labels: int, seed: int = SEED) -> np.ndarray:
    """Stand-ins for word pieces, int64 (labels, 10): 101, one to five ids, 102, zeros."""
    draw = generator("input.token_ids", seed)
    ids = np.zeros((labels, 10), np.int64)
    for row in ids:
        count = int(draw.integers(1, 6))
        row[: count + 2] = [101, *draw.integers(1000, 28996, size=count), 102]
    return ids


def label_vectors(labels: int, width: int, seed: int = SEED) -> np.ndarray:
    """Stand-ins for vectors of the labels, float32 (labels, width)."""
    return generator("input.text_vectors", seed).standard_normal((labels, width)).astype(np.float32)


def recorded(name: str) -> dict[str, np.ndarray]:
    """Recorded outputs of a model, or the units, by name."""
    with np.load(FOLDER / "outputs.npz") as file:
        return {key.split("/")[1]: file[key] for key in file.files if key.split("/")[0] == name}


def facts() -> Mapping[str, dict]:
    """Differences of the reference's float32 run by model/output, and (entries, checksum) of every manifest."""
    return json.loads((FOLDER / "reference.json").read_text())


def thinned(values: np.ndarray, channels_first: bool = False) -> np.ndarray:
    """The part of an array that is stored."""
    if values.size <= _MOST:
        return values
    steps = _CHANNELS_FIRST if channels_first else _STEPS[values.ndim]
    return values[tuple(slice(None, None, step) for step in steps)]


def checksum(model: nn.Module) -> list[int]:
    """(entries, checksum) of a model's keys, shapes and types, as those of the manifests."""
    rows = [[key, list(x.shape), str(x.dtype).removeprefix("torch.")] for key, x in model.state_dict().items()]
    return [len(rows), zlib.crc32(json.dumps(sorted(rows)).encode())]
