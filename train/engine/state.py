"""Resume state of an unfinished training on disk; a resumed training is bit-identical."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.files.atomic import write_atomically
from ...common.foreign_text import shown_text
from ...common.formats.json_files import parse_json
from ...errors import ArtifactError, InputError, MambaProError
from ..models.checkpoints.tensor_files import save_pickle
from ..models.checkpoints.torch_files import read_torch_file
from .image_ranges import FIELD, noted_ranges
from .recipe import Recipe

NAME = "state.pth"
VERSION = 1
#: Fields that may differ on resume, because they do not change the weights.
FREE = ("workers", "save_every")


@dataclass
class State:
    """Training after `epoch` whole epochs and `batch` batches of the next.

    `tensors` holds the state dicts of model, optimizer and scaler; `meter` the sums of the current epoch; `ranges` the
    result of `noted_ranges`. No generator state is stored: every random number follows from the seed, the epoch and the
    batch.
    """

    config: dict[str, Any]
    data: str
    epoch: int
    batch: int
    best_epoch: int
    best_map: float
    seconds: float
    tensors: dict[str, Any]
    meter: dict[str, Any] | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    ranges: dict[str, Any] = field(default_factory=dict)


def write_state(folder: Path, state: State, *, overwrite: bool = True) -> None:
    """Write a state into a run's folder, atomically.

    Raises:
        InputError: a state exists, and `overwrite` is false.
        SetupError: the disk is full.
    """
    values = {item.name: getattr(state, item.name) for item in dataclasses.fields(state)}
    # JSON stores the tuples of a config as lists, and weights_only reads no tuple subclasses
    values["config"] = json.dumps(state.config)
    values["records"], values["ranges"] = json.dumps(state.records), json.dumps(state.ranges)
    write_atomically(folder / NAME, lambda file: save_pickle({"version": VERSION, **values}, file), overwrite=overwrite)


def read_state(folder: Path) -> State | None:
    """Read the state in a run's folder, None if there is none.

    Raises:
        ArtifactError: the file is damaged or of another version.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    try:
        return _state_of(read_torch_file(path))
    except (ValueError, KeyError, TypeError, AttributeError, ArtifactError) as error:
        reason = str(error).rstrip(".") if isinstance(error, MambaProError) else shown_text(error)
        raise ArtifactError(
            f"{shown_text(path)} cannot be read ({reason}); remove it to train from the beginning. last.pth holds the "
            "weights."
        ) from error


def _state_of(values: Any) -> State:
    """Build a State from the values of a file.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: they are none.
    """
    version = values.pop("version")
    if version != VERSION:
        raise ValueError(f"it is of format {shown_text(version, 40)}; this version reads {VERSION}")
    values.setdefault("ranges", "{}")
    values |= {name: parse_json(values[name]) for name in ("config", "records", "ranges")}
    state = State(**values)
    numbers = (state.epoch, state.batch, state.best_epoch)
    if not all(type(number) is int and 0 <= number < 2**31 for number in numbers):
        raise ValueError("its epochs and batches are no numbers")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in (state.best_map, state.seconds)):
        raise ValueError("its accuracy or its time is no number")
    if not isinstance(state.config, dict) or not isinstance(state.records, list) or not isinstance(state.data, str):
        raise ValueError("its recipe, its records or its data are missing")
    if not isinstance(state.tensors, dict) or not all(isinstance(part, dict) for part in state.tensors.values()):
        raise ValueError("its tensors are missing")
    return state


def check_state(state: State, config: Recipe, data: str) -> None:
    """Check that a state has the recipe, the data and the image ranges of this run.

    Raises:
        InputError: they differ; the message names the fields.
    """
    # both through JSON, which has lists for tuples
    before, after = (_flat(json.loads(json.dumps(values))) for values in (state.config, config.to_json()))
    differing = [
        f"{shown_text(name, 80)} was {shown_text(before.get(name), 80)}, is {shown_text(after.get(name), 80)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and name not in FREE
    ]
    if differing:
        raise InputError(
            f"The training to resume had another recipe: {'; '.join(differing)}. Give the same recipe, or start anew "
            "in another folder."
        )
    if state.data != data:
        raise InputError(
            "The training to resume saw other data (other images, or other labels of them). Give the same --data and "
            "--dataset, or start anew in another folder."
        )

    ranges = noted_ranges()
    if state.ranges != ranges:
        was, now = (shown_text(values.get(FIELD, "the full range"), 80) for values in (state.ranges, ranges))
        raise InputError(
            f"The training to resume read 16-bit images otherwise: {was}, now {now}. Give the same "
            "--sixteen-bit-range, or start anew in another folder."
        )


def _flat(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value})
    return flat
