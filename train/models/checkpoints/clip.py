"""CLIP's visual tower (https://arxiv.org/abs/2103.00020): from open_clip by name, or from a file in OpenAI's layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import ArtifactError, InputError, SetupError
from ..mambapro.mambapro import MambaPro
from .entries import require_finite
from .names import clip_pairs
from .tensor_files import read_content
from .torch_files import TorchScriptError
from .wrapped import log_notes, unwrap

#: How keys of OpenAI's layout begin.
_ANCHORS = (("visual", "conv1"), ("visual", "class_embedding"))
#: OpenAI's ViT-B/16 under its open_clip name: QuickGELU, as the released MambaPro weights expect.
OPENAI = "ViT-B-16-quickgelu/openai"


def load_clip(model: MambaPro, source: str = OPENAI, *, allow_torchscript: bool = False) -> None:
    """Load CLIP's weights into the frozen tower of `model`, in place; adapters, prompts and heads stay.

    Positions are resized to the model's patch grid.

    Args:
        source: an open_clip name "architecture/pretrained", or the path of a state dict with OpenAI's keys
            ("visual.conv1.weight", ...).
        allow_torchscript: also read OpenAI's own TorchScript archive. This runs code from the file: only for trusted
            files.

    Raises:
        InputError: neither a file nor a name open_clip knows; a model with another backbone.
        SetupError: open_clip is missing or cannot get the weights.
        ArtifactError: weights of another architecture, or an unreadable file.
    """
    if model.config.backbone != "clip":
        raise InputError(
            f"This model's backbone is {model.config.backbone}, CLIP's weights are for backbone clip. Take the weights "
            "of a ViT of ImageNet (mambapro.train.models.checkpoints.imagenet.load_vit), or a size with CLIP such as "
            "vit_b16."
        )
    path = Path(source)
    weights = _from_file(path, allow_torchscript) if os.path.lexists(path) else _from_open_clip(source)
    state = model.state_dict()
    # all of them first: a file that does not fit must not leave the model partly loaded
    values = {
        ours: _entry(weights, theirs, state[ours], model.config.grid) for theirs, ours in clip_pairs(model.config)
    }
    with torch.no_grad():
        for ours, value in values.items():
            state[ours].copy_(value)


def _entry(weights: Mapping[str, Tensor], key: str, target: Tensor, grid: tuple[int, int]) -> Tensor:
    if key not in weights:
        raise ArtifactError(f"These are no CLIP ViT weights in OpenAI's layout: {key} is missing.")
    value = weights[key].float()
    if key.endswith("positional_embedding"):
        side = round(max(len(value) - 1, 0) ** 0.5) if value.dim() == 2 else 0
        if not side or 1 + side * side != len(value):
            raise ArtifactError(f"CLIP's {key} has shape {tuple(value.shape)}, which is no table of a square grid.")
        value = resize_positions(value, grid)
    if value.shape != target.shape:
        raise ArtifactError(
            f"CLIP's {key} has shape {tuple(value.shape)}, this model needs {tuple(target.shape)}. "
            "MambaPro's vit_b16 needs ViT-B/16; other sizes have no CLIP weights and are trained from scratch."
        )
    return value


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize CLIP's position table to another patch grid.

    Args:
        positions: (1 + side * side, width), class token first.
        grid: rows and columns of the model.

    Returns:
        (1 + rows * columns, width): bilinear, half-pixel centres, no antialiasing, as the authors do.
    """
    side = round((positions.shape[0] - 1) ** 0.5)
    # (1, width, side, side)
    patches = positions[1:].T.reshape(1, -1, side, side)
    patches = torch.nn.functional.interpolate(patches, grid, mode="bilinear", align_corners=False)
    return torch.cat((positions[:1], patches.flatten(2)[0].T))


def _from_file(path: Path, allow_torchscript: bool) -> Mapping[str, Tensor]:
    try:
        state_dict = unwrap(read_content(path).tree, path, _ANCHORS)
    except TorchScriptError as error:
        if not allow_torchscript:
            raise ArtifactError(
                f"{shown_text(path)} is a TorchScript archive: reading it runs code from the file. If you trust it, "
                "allow that with --clip-torchscript (allow_torchscript=True); or convert it to a plain state dict once."
            ) from error
    else:
        log_notes(state_dict, path)
        require_finite(state_dict.tensors, path)
        return state_dict.tensors
    try:
        return torch.jit.load(str(path), map_location="cpu").state_dict()
    except (RuntimeError, OSError) as error:
        raise ArtifactError(
            f"{shown_text(path)} is a damaged TorchScript archive. Copy or download it again."
        ) from error


def _from_open_clip(name: str) -> Mapping[str, Tensor]:
    architecture, _, pretrained = name.partition("/")
    try:
        import open_clip
    except ImportError as error:
        raise SetupError(f'open_clip is not installed ({error}): pip install "mambapro[train]".') from error
    if (architecture, pretrained) not in open_clip.list_pretrained():
        raise InputError(
            f"{shown_text(name)!r} is neither a file nor a pretrained open_clip model. Give a path, or "
            f"'architecture/pretrained' such as {OPENAI!r}."
        )
    try:
        return open_clip.create_model(architecture, pretrained=pretrained).state_dict()
    except (OSError, RuntimeError) as error:
        raise SetupError(f"open_clip could not get {name!r}: {error}. Give a local file instead.") from error
