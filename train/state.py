"""The state of an unfinished training on disk, from which it goes on bit for bit."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import ArtifactError, InputError
from ..runtime.files import write_atomically
from .config import TrainConfig
from .models.tensor_files import save_pickle

NAME = "state.pth"
VERSION = 1
#: What may differ between the part before and the part after: it does not change the weights.
FREE = ("workers", "save_every")


@dataclass
class State:
    """A training after `epoch` whole epochs and `batch` batches of the next.

    `tensors` holds the state dicts of model, optimiser and scaler; `meter` the sums of the epoch that was begun. There
    is no generator's state: every random number follows from the seed, the epoch and the batch.
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


def write_state(folder: Path, state: State, *, overwrite: bool = True) -> None:
    """Write a state into a run's folder; the one before survives a failure.

    Raises:
        InputError: there is one already, and `overwrite` is false.
        SetupError: no room on the disk.
    """
    values = {item.name: getattr(state, item.name) for item in dataclasses.fields(state)}
    # JSON has the tuples of a config as lists, and weights_only reads no tuple subclasses
    values["config"] = json.dumps(state.config)
    values["records"] = json.dumps(state.records)
    write_atomically(folder / NAME, lambda file: save_pickle({"version": VERSION, **values}, file), overwrite=overwrite)


def read_state(folder: Path) -> State | None:
    """The state in a run's folder, None if there is none.

    Raises:
        ArtifactError: the file is damaged or of another version.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        version = values.pop("version")
        if version != VERSION:
            raise ArtifactError(f"{path} is of format {version}; this version reads {VERSION}. Train again.")
        values["config"], values["records"] = json.loads(values["config"]), json.loads(values["records"])
        return State(**values)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, pickle.PickleError) as e:
        raise ArtifactError(
            f"{path} cannot be read ({e}); remove it to train from the beginning. last.pth holds the weights."
        ) from e


def check_state(state: State, config: TrainConfig, data: str) -> None:
    """A state goes on only with its own recipe and data.

    Raises:
        InputError: which fields differ, or that the data does.
    """
    # both through JSON, which has lists for tuples
    before, after = (_flat(json.loads(json.dumps(values))) for values in (state.config, config.to_json()))
    differing = [
        f"{name} was {before.get(name)!r}, is {after.get(name)!r}"
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
            "The training to resume saw other data (other images, identities or cameras). Give the same --data and "
            "--dataset, or start anew in another folder."
        )


def _flat(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value})
    return flat
