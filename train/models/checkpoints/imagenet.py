"""ImageNet weights of a ViT (https://arxiv.org/abs/2010.11929): from timm by name, or from a file in its layout."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import ArtifactError, InputError, SetupError
from ..mambapro.mambapro import MambaPro
from .clip import resize_positions
from .entries import require_finite
from .names import Pair
from .tensor_files import read_content
from .wrapped import log_notes, unwrap

#: ViT-B/16 of ImageNet-21k, finetuned on ImageNet-1k at 224 x 224; its normalisation is MambaPro's.
TIMM = "vit_base_patch16_224.orig_in21k_ft_in1k"
#: timm's classifier of ImageNet, which we leave out.
_HEAD = "head."
#: How keys of timm's layout begin.
_ANCHORS = (("cls_token",), ("patch_embed",))
_SHOWN = 5


def load_vit(model: MambaPro, source: str = TIMM) -> None:
    """Load a ViT's weights into the frozen tower of `model`, in place; all other parameters stay.

    Positions are resized to the model's patch grid as CLIP's are.

    Args:
        source: a name of timm's pretrained models, or the path of a state dict with timm's keys ("cls_token",
            "blocks.0.attn.qkv.weight", ...).

    Raises:
        InputError: neither a file nor a name timm knows; a model with another backbone.
        SetupError: timm is missing or cannot get the weights.
        ArtifactError: weights of another architecture, or an unreadable file.
    """
    if model.config.backbone != "vit":
        raise InputError(
            f"This model's backbone is {model.config.backbone}, a ViT of ImageNet is for backbone vit. Take CLIP's "
            "weights (mambapro.train.models.checkpoints.clip.load_clip), or a size such as vit_b16_imagenet."
        )
    weights = _from_file(Path(source)) if os.path.lexists(source) else _from_timm(source)
    pairs = dict(timm_pairs(model.config.depth))
    if surplus := [key for key in weights if key not in pairs and not key.startswith(_HEAD)]:
        shown = ", ".join(shown_text(key, 80) for key in surplus[:_SHOWN])
        raise ArtifactError(
            f"These weights are of another architecture than a plain ViT of {model.config.depth} layers: "
            f"{len(surplus)} keys are too many, such as {shown}. Give {TIMM} or a file like it."
        )
    state = model.state_dict()
    # all of them first: a file that does not fit must not leave a model half filled
    values = {ours: _entry(weights, theirs, state[ours], model.config.grid) for theirs, ours in pairs.items()}
    with torch.no_grad():
        for ours, value in values.items():
            state[ours].copy_(value)


def _from_file(path: Path) -> Mapping[str, Tensor]:
    found = unwrap(read_content(path).tree, path, _ANCHORS)
    log_notes(found, path)
    require_finite(found.tensors, path)
    return found.tensors


def timm_pairs(depth: int) -> Iterator[Pair]:
    """Yield (timm's key, our key) for every tensor of a ViT of this depth except its classifier."""
    yield "cls_token", "backbone.embedding.class_token"
    yield "pos_embed", "backbone.embedding.positions"
    yield from _affine("patch_embed.proj", "backbone.embedding.patches")
    parts = {
        "norm1": "ln_1",
        "attn.qkv": "attention.in_proj",
        "attn.proj": "attention.out_proj",
        "norm2": "ln_2",
        "mlp.fc1": "mlp.inner",
        "mlp.fc2": "mlp.outer",
    }
    for layer in range(depth):
        for theirs, ours in parts.items():
            yield from _affine(f"blocks.{layer}.{theirs}", f"backbone.layers.{layer}.{ours}")
    yield from _affine("norm", "backbone.ln_post")


def _affine(theirs: str, ours: str) -> Iterator[Pair]:
    for leaf in ("weight", "bias"):
        yield f"{theirs}.{leaf}", f"{ours}.{leaf}"


def _entry(weights: Mapping[str, Tensor], key: str, target: Tensor, grid: tuple[int, int]) -> Tensor:
    if key not in weights:
        raise ArtifactError(f"These are no ViT weights in timm's layout: {key} is missing.")
    value = weights[key].float()
    if key == "cls_token":
        # timm has axes of length 1 for batch and tokens
        value = value.flatten()
    elif key == "pos_embed":
        value = _positions(value, grid)
    if value.shape != target.shape:
        raise ArtifactError(
            f"The ViT's {key} has shape {tuple(weights[key].shape)}, this model needs {tuple(target.shape)}. "
            "vit_b16_imagenet needs ViT-B/16; other sizes have no such weights and are trained from scratch."
        )
    return value


def _positions(value: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize timm's position table (1, 1 + side * side, width) to (1 + rows * columns, width)."""
    side = round(max(value.shape[1] - 1, 0) ** 0.5) if value.dim() == 3 and len(value) == 1 else 0
    if not side or 1 + side * side != value.shape[1]:
        raise ArtifactError(f"The ViT's pos_embed has shape {tuple(value.shape)}, which is no table of a square grid.")
    return resize_positions(value[0], grid)


def _from_timm(name: str) -> Mapping[str, Tensor]:
    try:
        import timm
    except ImportError as error:
        raise SetupError(f'timm is not installed ({error}): pip install "mambapro[train]".') from error
    if name not in timm.list_pretrained():
        raise InputError(
            f"{shown_text(name)!r} is neither a file nor a pretrained model of timm. Give a path, or a name such as "
            f"{TIMM!r}."
        )
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise SetupError(f"timm could not get {name!r}: {error}. Give a local file instead.") from error
