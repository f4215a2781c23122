"""Readers of public checkpoints, which have no header of ours: one for each family of models."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import InputError
from ..attributes.named_models import NAMED_MODELS, known_names
from ..model_spec import Model
from ..registry import FIRST
from .wrapped import keys_in


class Request(NamedTuple):
    """Arguments of `load_checkpoint` that decide how a file is read."""

    model: str | None = None
    image_size: tuple[int, int] | None = None
    default_image_size: tuple[int, int] | None = None
    weights: str | None = None
    switches: Mapping[str, Any] = {}
    dataset: str | None = None


class ForeignFile(NamedTuple):
    """Class and config of a model, its tensors by the file's keys, and our key of each; no names: they are ours."""

    kind: type[Model]
    config: Any
    tensors: dict[str, Tensor]
    names: Mapping[str, str]


Reader = Callable[[Any, Path, Request], ForeignFile]

#: Parts of keys by which a family is recognized, and its reader, imported when it is needed. The last one takes all.
READERS: tuple[tuple[frozenset[str] | None, str, str], ...] = (
    (frozenset({"mixer", "A_logs", "qkv", "weight_layer"}), "public_models", "read_public_file"),
    (None, "authors_files", "read_authors_file"),
)


def reader_of(tree: Any, request: Request) -> Reader:
    """Return the reader for a file's content.

    Raises:
        InputError: no model has the requested name.
    """
    name = request.model
    if name is not None and name != FIRST and name not in NAMED_MODELS:
        raise InputError(f"No model is called {shown_text(name, 60)!r}; there are: {FIRST}, {known_names()}.")
    parts = set() if name else {part for key in keys_in(tree) for part in key.split(".")}
    for marks, module, function in READERS:
        if marks is None or (parts & marks if name is None else name in NAMED_MODELS):
            return getattr(importlib.import_module(f".{module}", __package__), function)
    raise AssertionError("the last reader takes all files")


def check_kind(kind: type[Model], name: str | None, path: Path) -> None:
    """Check that no model is requested by name of one of our files, which holds its own.

    Raises:
        InputError: a model is named.
    """
    if name is not None:
        raise InputError(
            f"{shown_text(path)} holds a model of kind {kind.kind} with its config; a name ({shown_text(name, 60)}) is "
            "for public files, which do not. Leave the name of the model out."
        )
