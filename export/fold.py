"""Everything that is constant at inference, computed once: the modules that stand in for the trained ones.

Each takes a trained module and has its interface. Folding happens in float32, before any rounding.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..runtime.modalities import MODALITIES
from ..train.models.aggregation import MambaAggregation, ModalityConv
from ..train.models.mamba import ScanGroup
from ..train.models.prompt import SynergisticResidualPrompt, arrange, carry
from ..train.models.vit import Attention, Embedding, Layer

M = TypeVar("M", bound=nn.Module)


class FoldedPrompt(nn.Module):
    """Prompts p and moved prompts p + T(p) as tables: the transfers vanish, 21 M values in the full model."""

    own: Tensor
    moved: Tensor

    def __init__(self, prompt: SynergisticResidualPrompt) -> None:
        super().__init__()
        tokens, transfer = prompt.tokens, prompt.transfer
        own = torch.stack([tokens[m] for m in MODALITIES])
        moved = torch.stack([tokens[m] + transfer[m](tokens[m]) for m in MODALITIES])
        self.register_buffer("own", own)
        self.register_buffer("moved", moved)
        self.residual = prompt.residual

    def forward(self, fused: Tensor | None, batch: int) -> Tensor:
        return arrange(carry(self.own, fused, self.residual, batch), self.moved)


class WrittenAttention(Attention):
    """Attention as two matrix products with a float32 softmax between them: what every runtime knows and fuses."""

    def __init__(self, attention: Attention) -> None:
        nn.Module.__init__(self)
        self.heads = attention.heads
        self.in_proj, self.out_proj = attention.in_proj, attention.out_proj

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return scores.float().softmax(-1).to(v.dtype) @ v


class FoldedEmbedding(Embedding):
    """Camera table already scaled, with the row of the unknown camera at its end."""

    table: Tensor

    def __init__(self, embedding: Embedding) -> None:
        nn.Module.__init__(self)
        self.patches, self.ln_pre = embedding.patches, embedding.ln_pre
        self.class_token, self.positions = embedding.class_token, embedding.positions
        self.use_cameras, self.camera_scale = embedding.use_cameras, 1.0
        if self.use_cameras:
            rows = embedding.cameras
            table = torch.cat((rows, rows.mean(0, keepdim=True)))
            self.register_buffer("table", embedding.camera_scale * table)

    def camera(self, ids: Tensor) -> Tensor:
        unknown = self.table.shape[0] - 1
        return self.table[torch.where((ids < 0) | (ids >= unknown), unknown, ids)]


class FoldedScanGroup(ScanGroup):
    """A, D and step bias of all groups as three constants."""

    A: Tensor
    D: Tensor
    bias: Tensor

    #: What `halve` leaves alone.
    float32 = ("A", "D", "bias")

    def __init__(self, group: ScanGroup) -> None:
        nn.ModuleDict.__init__(self, dict(group.items()))
        self.both = group.both
        for name, value in zip(self.float32, group.constants(), strict=True):
            self.register_buffer(name, value)
        for space in self.spaces:
            del space.A_log, space.D
            space.dt_proj.register_parameter("bias", None)

    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.A, self.D, self.bias


def fold_convolution(conv: ModalityConv) -> None:
    """BatchNorm into the depthwise convolution before it, in place."""
    conv.conv = nn.utils.fuse_conv_bn_eval(conv.conv, conv.norm)
    conv.register_module("norm", nn.Identity())


def fold_layer(layer: Layer) -> None:
    """Prompts, attention, and what the switches leave unused, in place."""
    layer.attention = WrittenAttention(layer.attention)
    layer.register_module("prompt", FoldedPrompt(layer.prompt) if layer.use_prompt else None)
    if not layer.use_adapter:
        layer.register_module("adapter", None)


def fold_aggregation(aggregation: MambaAggregation) -> None:
    """Convolutions and scan constants of every block, in place."""
    for half in aggregation.halves:
        half.scans = FoldedScanGroup(half.scans)
        for conv in half.conv.values():
            fold_convolution(cast(ModalityConv, conv))


def copy_for_folding(module: M) -> M:
    """A copy that may be folded in place; frozen tensors stay shared, they are never written to."""
    memo = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)
