"""Checkpoints in the authors' layout and ours, both ways, with strict checks of keys and shapes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ....common.foreign_text import escaped, shown_text
from ....errors import ArtifactError, InputError
from ....runtime.bundle.labels import Labels
from ..mambapro.mambapro import MambaPro
from ..model_spec import Model
from ..registry import FIRST, model_class
from ..suited import require_suited_task
from .entries import check_entries, fill, require_finite, without_heads
from .foreign_files import ForeignFile, Request, check_kind, reader_of
from .names import key_pairs
from .tensor_files import Content, only_tensors, read_content, write_tensors

log = logging.getLogger("mambapro")

FORMAT_VERSION = 1
#: Entry of a header with the hash of the labels whose words the file holds as constants.
_WORDS_OF = "words_of"


def load_checkpoint(
    path: str | PathLike[str],
    image_size: tuple[int, int] | None = None,
    *,
    model: str | None = None,
    default_image_size: tuple[int, int] | None = None,
    weights: str | None = None,
    dataset: str | None = None,
    **switches: Any,
) -> Any:
    """Load a Model with the weights of a checkpoint, in eval mode, float32, on the CPU; the header has its kind.

    Args:
        path: a public state dict (`.pth`), or a file of `save_checkpoint` (`.safetensors` or `.pth`). Wrappers
            around a state dict are removed, and logged: dictionaries (`state_dict`, `model`, `ema`, Lightning's),
            prefixes of the keys (`module.`, `_orig_mod.`, `model.`). Nothing in a file is called or built.
        image_size: (height, width) in pixels. Required for the files of MambaPro's authors, which do not hold it.
        model: name of the model in a public file, such as "par_image_vim_s" (see `named_models.NAMED_MODELS`) or
            "mambapro"; None: recognized by its keys. Our files hold their model, and take no name.
        default_image_size: used if neither `image_size` nor MambaPro's file has one.
        weights: name of the weights to load if a file holds several, such as "ema"; the error lists them.
        dataset: benchmark of the caller. A warning is logged if the file does not fit it.
        switches: fields of the config that the model lists in its `switches`, which public files do not hold: of
            MambaPro prompt, adapter, mamba, sie_camera, sie_coe, direct, pixel_mean, pixel_std. Missing ones are
            assumed as in the full model, and logged. And constants that the model lists in `constants`: of attribute
            models with text label_tokens, int64 (attributes, tokens), or label_vectors, float32 (attributes, width);
            they replace those of the file.

    Raises:
        InputError: no such file, image size missing or of another number of patches, unknown model or switch, a
            benchmark of another task.
        ArtifactError: unreadable or malicious file; keys missing, surplus or misshapen; several sets of weights; NaN.
    """
    path = Path(path)
    for size in (image_size, default_image_size):
        _check_image_size(size)
    content = read_content(path)
    request = Request(model, image_size, default_image_size, weights, switches, dataset)
    if content.header:
        kind, config, tensors, names = _read_stored(content, path, request)
    else:
        kind, config, tensors, names = reader_of(content.tree, request)(content.tree, path, request)
    _check_switches(kind, switches, path)
    constants = {name: value for name in kind.constants if (value := switches.pop(name, None)) is not None}
    stored = {name: tensors.pop(name) for name in kind.constants if content.header and name in tensors}
    # tensors have shapes but no memory: the checkpoint's become the model's
    with torch.device("meta"):
        loaded = kind(replace(config, **switches))  # type: ignore[call-arg]
    loaded.headless = _fit(tensors, loaded, names, path)
    loaded.trained_on = dict(content.header.get("training", {}))
    if "labels" in loaded.trained_on:
        labels = Labels.from_json(loaded.trained_on["labels"], f"The labels in {shown_text(path)}")
        _require_words_of(labels, content.header.get(_WORDS_OF), path)
        loaded.set_labels(labels)
    loaded.set_constants(**(constants or stored))
    if dataset is not None:
        require_suited_task(loaded.spec.task, path, dataset)
    loaded.warn_of_use(path, dataset)
    return loaded.eval()


def _check_switches(kind: type[Model], switches: Mapping[str, Any], path: Path) -> None:
    if unknown := sorted(set(switches) - {*kind.switches, *kind.constants}):
        options = ", ".join(f"--{shown_text(name, 60).replace('_', '-')}" for name in unknown)
        allowed = ", ".join((*kind.switches, *kind.constants)) or "none"
        raise InputError(
            f"{shown_text(path)} holds a model of kind {kind.kind}, which has no {options}. Leave it out; the switches "
            f"of load_checkpoint for this model are {allowed}."
        )


def _read_stored(content: Content, path: Path, request: Request) -> ForeignFile:
    """Read the content of one of our files."""
    kind = model_class(content.header.get("kind", FIRST))
    check_kind(kind, request.model, path)
    _check_switches(kind, request.switches, path)
    if request.weights is not None:
        raise InputError(f"{shown_text(path)} holds one set of weights, so none has to be named. Leave that out.")
    config = _stored_config(content.header, kind, request.image_size, path)
    switches = {name: value for name, value in request.switches.items() if name not in kind.constants}
    _warn_of_other_switches(config, switches, path)
    return ForeignFile(kind, config, dict(only_tensors(content.tree, path)), {})


def _fit(tensors: dict[str, Tensor], model: Model, names: Mapping[str, str], path: Path) -> bool:
    """Load a file's tensors into a model; `names` maps the file's keys to ours, empty where they are equal.

    Returns:
        True if the file has no classifiers.

    Raises:
        ArtifactError: they do not fit, or are not finite.
    """
    parameters = model.state_dict()
    names = names or {key: key for key in parameters}
    expected = {authors_key: parameters[ours] for authors_key, ours in names.items()}
    headless = without_heads(tensors, names, model.heads)
    missing = fill(tensors, expected, names, model.heads if headless else ())
    check_entries(tensors, expected, path)
    if headless:
        log.warning(
            "%s has no classifiers. Features need none: it can be evaluated and exported, but not trained on.",
            shown_text(path.name),
        )
    elif missing:
        log.warning("%s has no counters of BatchNorm (num_batches_tracked); they are 0", shown_text(path.name))
    state = {names[key]: value.to(expected[key].dtype) for key, value in tensors.items()}
    require_finite({key: state[names[key]] for key in tensors}, path)
    model.load_state_dict(state, strict=True, assign=True)
    return headless


def save_checkpoint(
    model: Model,
    path: str | PathLike[str],
    layout: Literal["mambapro", "authors"] = "mambapro",
    *,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> None:
    """Write a model's weights, atomically.

    Args:
        path: `.safetensors` or `.pth`; the authors' layout is always `.pth`.
        layout: "mambapro" stores the config (and `training`, any plain JSON) with the weights; "authors" is their plain
            state dict, key for key.

    Raises:
        InputError: suffix that does not fit, or the file exists and `overwrite` is false.
        SetupError: the disk is full.
    """
    path = Path(path)
    constants = {name: value for name in model.constants if (value := getattr(model, name)) is not None}
    state = {key: value.detach().cpu() for key, value in (model.state_dict() | constants).items()}
    if model.headless:
        # classifiers filled in for a file without them are not saved
        state = {key: value for key, value in state.items() if not key.startswith(model.heads)}
    if layout == "authors":
        if not isinstance(model, MambaPro):
            raise InputError(f"The authors' layout holds MambaPro, not a model of kind {model.kind}.")
        if path.suffix != ".pth":
            raise InputError(f"The authors' layout is a .pth file; {escaped(path.name)} is not.")
        write_tensors(
            path, {theirs: state[ours] for theirs, ours in key_pairs(model.config) if ours in state}, None, overwrite
        )
    elif layout == "mambapro":
        header: dict[str, Any] = {"version": FORMAT_VERSION, "kind": model.kind, "config": model.config.to_json()}
        header["training"] = dict(training or {})
        if constants and "labels" in header["training"]:
            header[_WORDS_OF] = Labels.from_json(header["training"]["labels"]).sha256
        write_tensors(path, state, header, overwrite)
    else:
        raise InputError(f"Unknown layout {layout!r}; there are 'mambapro' and 'authors'.")


def _require_words_of(labels: Labels, stored: object, path: Path) -> None:
    """Raise ArtifactError if the words that a file holds were stored with another list of labels."""
    if stored is not None and stored != labels.sha256:
        raise ArtifactError(
            f"{shown_text(path)} holds the words of another list of labels than it names: their order or wording was "
            "changed after the training. Take the checkpoint as it was saved."
        )


def _check_image_size(size: Any) -> None:
    if size is None:
        return
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise InputError(f"image_size must be (height, width) in pixels, such as (256, 128), not {size!r}.")


def _warn_of_other_switches(config: Any, switches: Mapping[str, Any], path: Path) -> None:
    """Warn if switches override those of one of our files."""
    other = {name: value for name, value in switches.items() if getattr(config, name, value) != value}
    if other:
        log.warning(
            "%s was trained with %s; it is used with %s, as was asked, and returns other features.",
            path,
            ", ".join(f"{name}={getattr(config, name)}" for name in other),
            ", ".join(f"{name}={value}" for name, value in other.items()),
        )


def _stored_config(header: Mapping[str, Any], kind: type[Model], image_size: tuple[int, int] | None, path: Path) -> Any:
    if header.get("version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{escaped(path)} is a checkpoint of format {header.get('version')!r}; this version reads "
            f"{FORMAT_VERSION}. "
            "Update mambapro, or save the checkpoint again with this version."
        )
    try:
        config = kind.config_type.from_json(header["config"])
        _check_training(header.get("training", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{escaped(path)} has a damaged header: {error}. Copy it again, or save it again."
        ) from error
    if image_size is not None and tuple(image_size) != config.image_size:
        raise InputError(
            f"{escaped(path)} was trained at {_size(config.image_size)} (height x width), not {_size(image_size)}. "
            "Leave the image size out: the checkpoint holds it."
        )
    return config


def _check_training(facts: Any) -> None:
    """Raise if the training facts have other types than the readers expect."""
    recipe, dataset = facts.get("config", {}), facts.get("dataset")
    if not isinstance(recipe.get("model", {}), dict) or not isinstance(dataset, str | None):
        raise ValueError("what it says of its training is of another kind")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
