"""Pretrained weights of a new model's backbone: CLIP, a ViT of ImageNet, or the tower of one of our checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from ....common.foreign_text import escaped
from ....errors import ArtifactError, InputError
from ..checkpoints.clip import load_clip
from ..checkpoints.imagenet import load_vit
from ..checkpoints.weights import load_checkpoint
from .mambapro import MambaPro, require_mambapro
from .model_config import MambaProConfig
from .spec import is_pretrained

_SIZES = ("image_size", "patch_size", "width", "depth", "mlp_width", "embed_dim")
#: Config fields that determine the tower's computation; all of them must agree.
TOWER_FIELDS = ("backbone", *_SIZES, "pixel_mean", "pixel_std")
_SHOWN = 5


def initialiser(
    clip: str | None = None,
    backbone: str | os.PathLike[str] | None = None,
    vit: str | None = None,
    *,
    allow_torchscript: bool = False,
    weights: str | None = None,
) -> Callable[[MambaPro], Any] | None:
    """Return the function that fills a new model's tower: `load_clip`, `load_tower`, `load_vit` or None.

    `weights` names one of several sets of weights in the checkpoint.

    Raises:
        InputError: more than one was given, or `weights` without a checkpoint.
    """
    sources = [str(source) for source in (clip, backbone, vit) if source is not None]
    if len(sources) > 1:
        raise InputError(f"A backbone comes from one place, not from {' and '.join(sources)}. Give one of them.")
    if weights is not None and backbone is None:
        raise InputError("--weights chooses weights in the checkpoint of --backbone: give that too.")
    if vit is not None:
        return lambda model: load_vit(model, vit)
    if clip is not None:
        return lambda model: load_clip(model, clip, allow_torchscript=allow_torchscript)
    if backbone is not None:
        return lambda model: load_tower(model, backbone, weights)
    return None


def load_tower(model: MambaPro, checkpoint: str | os.PathLike[str], weights: str | None = None) -> int:
    """Copy the tower of a checkpoint (patches, positions, layers, projection) into `model`, in place.

    MambaPro's own parts stay: prompts, adapters, camera table, aggregation, heads. The copied parts are those of
    `freeze_pretrained`, so the checkpoint replaces CLIP's weights in the paper. `weights` names one of several sets of
    weights in the file, see `load_checkpoint`.

    Returns:
        number of copied values.

    Raises:
        InputError: no such file, or a tower of another size or for other images.
        ArtifactError: unreadable file, or a tower with other tensors.
    """
    source = load_checkpoint(checkpoint, default_image_size=model.config.image_size, weights=weights)
    require_mambapro(source, checkpoint)
    _check_sizes(model.config, source.config, checkpoint)
    # a ViT's camera table is frozen with the tower, but the cameras are those of other data
    ours, theirs = (
        {name: value for name, value in each.named_parameters() if is_pretrained(name) and "cameras" not in name}
        for each in (model, source)
    )
    problems = [f"missing: {name}" for name in ours if name not in theirs]
    problems += [f"surplus: {name}" for name in theirs if name not in ours]
    problems += [
        f"{name} is {tuple(theirs[name].shape)}, the model needs {tuple(value.shape)}"
        for name, value in ours.items()
        if name in theirs and theirs[name].shape != value.shape
    ]
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        raise ArtifactError(
            f"The tower in {escaped(checkpoint)} does not fit, {len(problems)} tensors differ: {shown}."
        )
    with torch.no_grad():
        for name, value in ours.items():
            value.copy_(theirs[name])
    return sum(value.numel() for value in ours.values())


def _check_sizes(model: MambaProConfig, source: MambaProConfig, checkpoint: str | os.PathLike[str]) -> None:
    different = [
        f"{name} {getattr(source, name)} (the model: {getattr(model, name)})"
        for name in TOWER_FIELDS
        if getattr(source, name) != getattr(model, name)
    ]
    if different:
        raise InputError(
            f"The tower in {escaped(checkpoint)} has {', '.join(different)}. Take a checkpoint of the "
            "same size and image size, "
            "or build the model to fit it."
        )
