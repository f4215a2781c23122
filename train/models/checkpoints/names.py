"""Mapping between the authors' state-dict keys and ours, in the authors' order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ....errors import InputError
from ....runtime.data.modalities import MODALITIES
from ..mambapro.model_config import MambaProConfig
from ..parts.aggregation import JOINT
from ..parts.mamba import DIRECTIONS

Pair = tuple[str, str]

#: How the authors abbreviate: prompts spell the modality out, everything else uses a letter.
LETTERS = dict(zip(MODALITIES, "rnt", strict=True))
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_AFFINE = ("weight", "bias")
#: CLIP's tower in the authors' model.
_TOWER = "BACKBONE.base."


def key_pairs(config: MambaProConfig) -> list[Pair]:
    """Return (authors' key, our key) for every entry of the state dict of a model with this config.

    Raises:
        InputError: a variant without keys in the authors' code.
    """
    if config.variants:
        chosen = ", ".join(f"{name}={value}" for name, value in config.variants.items())
        raise InputError(
            f"The authors' layout has no place for {chosen}; it holds the published model and its switches. "
            "Save the checkpoint in mambapro's layout."
        )
    return list(_pairs(config))


def authors_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our keys of a state dict to the authors'; unknown keys and other state dicts stay unchanged.

    Returns:
        tensors by key, unchanged.
    """
    if not any(key.startswith("backbone.") for key in tensors):
        return dict(tensors)
    numbers = [int(part) for key in tensors for part in key.split(".")[2:3] if part.isdecimal() and len(part) < 4]
    layers = 1 + max(numbers, default=0)
    # more than it may have: only the names are wanted
    config = MambaProConfig(depth=layers, aggregation_depth=layers, cameras=1, mamba_bi=True)
    names = {ours: theirs for theirs, ours in _pairs(config)}
    return {names.get(key, key): value for key, value in tensors.items()}


def clip_pairs(config: MambaProConfig) -> list[Pair]:
    """Return (OpenAI's key, our key) for CLIP's visual tower, independent of adapters and prompts."""
    return [
        (theirs.replace(_TOWER, "visual."), ours)
        for theirs, ours in _tower(config)
        if not any(part in ours for part in (".adapter.", ".prompt."))
    ]


def _pairs(config: MambaProConfig) -> Iterator[Pair]:
    if config.cameras:
        yield "BACKBONE.cv_embed", "backbone.embedding.cameras"
    yield from _tower(config)
    yield "BACKBONE.classifier.weight", "backbone.head.classifier.weight"
    yield from _leaves("BACKBONE.bottleneck", "backbone.head.norm", _NORM)
    for block in range(config.aggregation_depth):
        for half in ("intra", "inter"):
            prefix = f"AAM.ma_block.{block}.SSM_{half}", f"aggregation.blocks.{block}.{half}"
            yield from _half(config, half, *prefix)
    for m, letter in LETTERS.items():
        for number, part in ((0, "norm"), (1, "linear")):
            yield from _leaves(f"AAM.linear_reduction_{letter}.{number}", f"aggregation.reduction.{m}.{part}", _AFFINE)
    for suffix, head in (("", "concat_head"), ("_fuse", "fused_head")):
        yield f"classifier{suffix}.weight", f"{head}.classifier.weight"
        yield from _leaves(f"bottleneck{suffix}", f"{head}.norm", _NORM)


def _leaves(theirs: str, ours: str, leaves: tuple[str, ...]) -> Iterator[Pair]:
    for leaf in leaves:
        yield f"{theirs}.{leaf}", f"{ours}.{leaf}"


def _tower(config: MambaProConfig) -> Iterator[Pair]:
    base = _TOWER.removesuffix(".")
    yield f"{base}.class_embedding", "backbone.embedding.class_token"
    yield f"{base}.positional_embedding", "backbone.embedding.positions"
    yield f"{base}.proj", "backbone.projection"
    yield f"{base}.conv1.weight", "backbone.embedding.patches.weight"
    yield from _leaves(f"{base}.ln_pre", "backbone.embedding.ln_pre", _AFFINE)
    for layer in range(config.depth):
        yield from _layer(f"{base}.transformer.resblocks.{layer}", f"backbone.layers.{layer}")
    yield from _leaves(f"{base}.ln_post", "backbone.ln_post", _AFFINE)


def _layer(theirs: str, ours: str) -> Iterator[Pair]:
    for m in MODALITIES:
        yield f"{theirs}.adapter_prompt_{m}", f"{ours}.prompt.tokens.{m}"
    for leaf in _AFFINE:
        yield f"{theirs}.attn.in_proj_{leaf}", f"{ours}.attention.in_proj.{leaf}"
    yield from _leaves(f"{theirs}.attn.out_proj", f"{ours}.attention.out_proj", _AFFINE)
    yield from _leaves(f"{theirs}.ln_1", f"{ours}.ln_1", _AFFINE)
    yield from _leaves(f"{theirs}.mlp.c_fc", f"{ours}.mlp.inner", _AFFINE)
    yield from _leaves(f"{theirs}.mlp.c_proj", f"{ours}.mlp.outer", _AFFINE)
    yield from _leaves(f"{theirs}.ln_2", f"{ours}.ln_2", _AFFINE)
    yield from _bottleneck(f"{theirs}.adapter_transfer", f"{ours}.prompt.residual", 3)
    for m, letter in LETTERS.items():
        yield from _bottleneck(f"{theirs}.adapter_{letter}", f"{ours}.prompt.transfer.{m}", 3)
    yield from _bottleneck(f"{theirs}.adapter_ffn", f"{ours}.adapter", 2)


def _bottleneck(theirs: str, ours: str, outer: int) -> Iterator[Pair]:
    """Yield key pairs of a bottleneck; `outer` is the index of its second Linear: 2, or 3 after a dropout."""
    yield from _leaves(f"{theirs}.0", f"{ours}.inner", _AFFINE)
    yield from _leaves(f"{theirs}.{outer}", f"{ours}.outer", _AFFINE)


def _half(config: MambaProConfig, half: str, theirs: str, ours: str) -> Iterator[Pair]:
    for m, letter in LETTERS.items():
        yield f"{theirs}.in_proj_{letter}.weight", f"{ours}.in_proj.{m}.weight"
    for m, letter in LETTERS.items():
        yield from _leaves(f"{theirs}.conv2d_{letter}.0", f"{ours}.conv.{m}.conv", _AFFINE)
        yield from _leaves(f"{theirs}.conv2d_{letter}.1", f"{ours}.conv.{m}.norm", _NORM)
    sequences = LETTERS if half == "intra" else {JOINT: "2"}
    for direction, suffix in list(zip(DIRECTIONS, "fb", strict=True))[: 2 if config.mamba_bi else 1]:
        for name, letter in sequences.items():
            yield from _space(f"{theirs}.SSM_{letter}_{suffix}", f"{ours}.scans.{name}.{direction}")
    yield f"{theirs}.out_proj.weight", f"{ours}.out_proj.weight"


def _space(theirs: str, ours: str) -> Iterator[Pair]:
    for leaf in ("A_log", "D", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"):
        yield f"{theirs}.{leaf}", f"{ours}.{leaf}"
    yield from _leaves(f"{theirs}.out_norm", f"{ours}.out_norm", _AFFINE)
