"""Reader of public checkpoints of the attribute models and their towers, by name or recognized by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import ArtifactError, InputError
from ....runtime.data.readers.listing import shown
from ..attributes.attribute_config import AttributeConfig
from ..attributes.named_models import NAMED_MODELS, NamedModel, known_names
from ..attributes.tower import Tower
from ..model_spec import Model
from ..parts.patch_embedding import ALIGNED, resize_positions
from ..registry import model_class
from .entries import check_entries, require_finite
from .foreign_files import ForeignFile, Request
from .tensor_files import read_content
from .wrapped import Anchors, log_notes, unwrap

_POSITIONS = "pos_embed"
#: Share of keys and shapes that a file must have in common with the model it is recognized as.
_ALIKE = 0.3
#: First Linear of each tower's classifier in an attribute model, and the field of the config with the tower.
_CLASSIFIERS = {"vim": "vim.head.weight", "vit": "vit.fc.weight", "vmamba": "vmamba.classifier.head.weight"}


def read_public_file(tree: Any, path: Path, request: Request) -> ForeignFile:
    """Read the content of a public file.

    Raises:
        InputError: label tokens or vectors missing, positions that cannot be resized.
        ArtifactError: no model is recognized, tensors under two names differ, or several sets of weights.
    """
    tensors = _unwrapped(tree, path, request.weights)
    name = request.model or _recognized(tensors, path)
    named = NAMED_MODELS[name]
    kind = model_class(named.kind)
    tensors = _renamed(tensors, kind, path)
    config = _fitted(named.config, kind, tensors)
    if request.image_size is not None and hasattr(config, "image_size"):
        config = replace(config, image_size=tuple(request.image_size))
    if kind.constants and not any(constant in request.switches for constant in kind.constants):
        raise InputError(
            f"{shown_text(path)} holds a model that reads the words of its labels. Give label_tokens, int64 "
            "(attributes, tokens), or label_vectors, float32 (attributes, width): arguments of load_checkpoint, or "
            "files for --label-tokens or --label-vectors."
        )
    way = request.switches.get("position_resize", ALIGNED)
    expected = _empty(kind, config)
    return ForeignFile(kind, config, _adapted(tensors, expected, way), {})


def load_part(part: Model, path: Path, weights: str | None = None) -> None:
    """Load a public file into a tower or text encoder, in place; a classifier of other classes is left as it is.

    Raises:
        InputError: no such file, positions that cannot be resized.
        ArtifactError: unreadable file; keys missing, surplus or misshapen; NaN.
    """
    tensors = _renamed(_unwrapped(read_content(path).tree, path, weights), type(part), path)
    tensors = _adapted(tensors, part, getattr(part.config, "position_resize", ALIGNED))
    expected = part.state_dict()
    if isinstance(part, Tower):
        names = [f"{part.head_name}.{leaf}" for leaf in ("weight", "bias")]
        if any(name not in tensors or tensors[name].shape != expected[name].shape for name in names):
            tensors |= {name: expected[name] for name in names}
    check_entries(tensors, expected, path)
    require_finite(tensors, path)
    part.load_state_dict(tensors)


def _unwrapped(tree: Any, path: Path, weights: str | None) -> dict[str, Tensor]:
    state_dict = unwrap(tree, path, _anchors(), weights)
    log_notes(state_dict, path)
    return dict(state_dict.tensors)


@cache
def _anchors() -> Anchors:
    """Return the first parts of the keys of all models; the earliest one in a key begins the model's own."""
    first = {key.split(".")[0] for named in _candidates().values() for key in _shapes(named)}
    aliases = {alias.split(".")[0] for named in _candidates().values() for alias in model_class(named.kind).aliases}
    return tuple((name,) for name in sorted(first | aliases))


@cache
def _candidates() -> dict[str, NamedModel]:
    """Return the models that a file may be recognized as: tiny attribute models exist in our layout only."""
    return {name: named for name, named in NAMED_MODELS.items() if not name.startswith(("mini_par", "mini_hybrid"))}


@cache
def _shapes(named: NamedModel) -> dict[str, tuple[int, ...]]:
    return {
        key: tuple(value.shape) for key, value in _empty(model_class(named.kind), named.config).state_dict().items()
    }


def _empty(kind: type[Model], config: Any) -> Model:
    """Build a model whose tensors have shapes but no memory."""
    with torch.device("meta"):
        return kind(config)  # type: ignore[call-arg]


def _recognized(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Return the name of the model that has most keys and shapes in common with a file.

    Raises:
        ArtifactError: none has enough.
    """
    scores = {name: _likeness(tensors, named, path) for name, named in _candidates().items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < _ALIKE:
        keys = shown(list(tensors))
        raise ArtifactError(
            f"{shown_text(path)} is no checkpoint of a known model (its keys: {keys}). Name the model: "
            f"load_checkpoint(path, model=NAME); there are: {known_names()}."
        )
    return best


def _likeness(tensors: Mapping[str, Tensor], named: NamedModel, path: Path) -> float:
    try:
        own = _renamed(tensors, model_class(named.kind), path)
    except ArtifactError:
        return 0.0
    theirs = {(key, tuple(value.shape)) for key, value in own.items()}
    ours = set(_shapes(named).items())
    return len(theirs & ours) / len(theirs | ours)


def _renamed(tensors: Mapping[str, Tensor], kind: type[Model], path: Path) -> dict[str, Tensor]:
    """Rename old keys, and drop second names of tensors.

    Raises:
        ArtifactError: a tensor has other values under its second name.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        for old, new in getattr(kind, "renames", ()):
            if old.startswith(".") and old in key:
                key = key.replace(old, new)
            elif key.startswith(old):
                key = new + key.removeprefix(old)
                break
        renamed[key] = value
    return _without_aliases(renamed, kind, path)


def _without_aliases(tensors: dict[str, Tensor], kind: type[Model], path: Path) -> dict[str, Tensor]:
    plain: dict[str, Tensor] = {}
    for key, value in tensors.items():
        alias = next((a for a in kind.aliases if key == a or key.startswith(f"{a}.")), None)
        own = key if alias is None else kind.aliases[alias] + key.removeprefix(alias)
        other = plain.get(own)
        if other is not None and not (other is value or _equal(other, value)):
            raise ArtifactError(
                f"{shown_text(path)} holds {shown_text(own)} a second time as {shown_text(key)}, with other values. "
                "Save the checkpoint again."
            )
        plain[own] = value
    return plain


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and (a.data_ptr() == b.data_ptr() or torch.equal(a, b))


def _fitted(config: Any, kind: type[Model], tensors: Mapping[str, Tensor]) -> Any:
    """Return a config with the numbers of labels and classes of a file, and without a text encoder that it lacks."""
    changes: dict[str, Any] = {}
    if isinstance(config, AttributeConfig):
        if (count := _rows(tensors, "bn.weight")) is not None:
            changes["attributes"] = count
        for tower, key in _CLASSIFIERS.items():
            if (count := _rows(tensors, key)) is not None:
                changes[tower] = replace(getattr(config, tower), classes=count)
        changes["text_encoder"] = not kind.constants or any(key.startswith("mamba.") for key in tensors)
    elif issubclass(kind, Tower) and (count := _rows(tensors, f"{kind.head_name}.weight")) is not None:
        changes["classes"] = count
    return replace(config, **{each.name: changes[each.name] for each in fields(config) if each.name in changes})


def _rows(tensors: Mapping[str, Tensor], key: str) -> int | None:
    value = tensors.get(key)
    return len(value) if value is not None and value.dim() and len(value) else None


def _adapted(tensors: dict[str, Tensor], model: Model, way: str) -> dict[str, Tensor]:
    """Return tensors with the shapes of a model where public files have another: 1x1 convolutions, positions."""
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    adapted = dict(tensors)
    for key, value in tensors.items():
        if key in shapes and value.dim() == 4 and tuple(value.shape) == (*shapes[key], 1, 1):
            adapted[key] = value.flatten(1)
    if isinstance(model, Tower) and model.class_row is not None and _POSITIONS in adapted:
        table = adapted[_POSITIONS]
        if table.dim() == 3 and table.shape[1] != model.tokens:
            adapted[_POSITIONS] = resize_positions(table.float(), model.config.grid, model.class_row, way)
    return adapted
