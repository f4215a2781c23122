"""Folded modules of MambaPro for inference, where prompts, tables and norms are constant.

Each is built from a trained module and has its interface. Folding happens in float32; graph/cast.py converts types.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..folding import Rules
from ..parts.adapters import UNUSED, LowRankLinear
from ..parts.aggregation import ModalityConv
from ..parts.mamba import ScanGroup
from ..parts.prompt import (
    IndependentPrompt,
    SeparateResidualPrompt,
    SynergisticPrompt,
    SynergisticResidualPrompt,
    order_groups,
    residual_prompts,
)
from ..parts.vit import Attention, Embedding, Layer
from ..parts.vit_imagenet import ImageNetEmbedding


class FoldedPrompt(nn.Module):
    """Prompts p and transferred prompts p + T(p) as tables; the transfers vanish, 21 M values in the full model."""

    own: Tensor
    moved: Tensor

    def __init__(self, prompt: SynergisticResidualPrompt) -> None:
        super().__init__()
        self.register_buffer("own", prompt.own())
        self.register_buffer("moved", prompt.transferred())
        self.residual, self.propagate = prompt.residual, prompt.propagate

    def forward(self, previous_prompts: Tensor | None, batch: int) -> Tensor:
        """Return the prompt tokens of a layer as the trained module does."""
        return order_groups(residual_prompts(self.own, previous_prompts, self.residual, batch), self.moved)


class ConstantPrompt(nn.Module):
    """Prompts without a predecessor: one table for each stream."""

    table: Tensor

    def __init__(self, prompt: IndependentPrompt) -> None:
        super().__init__()
        self.register_buffer("table", prompt(None, 1))

    def forward(self, previous_prompts: None, batch: int) -> Tensor:
        """Return the prompt tokens of a layer as the trained module does."""
        return self.table.unsqueeze(1).expand(-1, batch, -1, -1).flatten(0, 1)

    def propagate(self, prompts: Tensor) -> None:
        """Propagate nothing: the next layer has tables of its own."""


class WrittenAttention(Attention):
    """Attention as two matrix products with a softmax between them, which every runtime supports and fuses."""

    def __init__(self, attention: Attention) -> None:
        nn.Module.__init__(self)
        self.heads = attention.heads
        self.in_proj, self.out_proj = attention.in_proj, attention.out_proj

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Compute softmax(q k^T / sqrt(d)) v. Returns (batch, heads, tokens, d)."""
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return scores.softmax(-1) @ v


class FoldedEmbedding(Embedding):
    """Camera table scaled in advance, with the row of the unknown camera at its end."""

    rows: Tensor

    def __init__(self, embedding: Embedding) -> None:
        nn.Module.__init__(self)
        self.patches, self.ln_pre = embedding.patches, embedding.ln_pre
        self.class_token, self.positions = embedding.class_token, embedding.positions
        self.use_cameras, self.camera_scale = embedding.use_cameras, 1.0
        if self.use_cameras:
            rows = embedding.camera_rows()
            self.register_buffer("rows", embedding.camera_scale * torch.cat((rows, rows.mean(0, keepdim=True))))

    def camera(self, ids: Tensor) -> Tensor:
        """Look up the camera embeddings of `ids` (B,)."""
        unknown = self.rows.shape[0] - 1
        return self.rows[torch.where((ids < 0) | (ids >= unknown), unknown, ids)]


class FoldedImageNetEmbedding(FoldedEmbedding, ImageNetEmbedding):
    """Folded embedding of the ImageNet ViT, with its forward pass."""

    forward = ImageNetEmbedding.forward


class FoldedScanGroup(ScanGroup):
    """A, D and step bias of all groups as three constants."""

    A: Tensor
    D: Tensor
    bias: Tensor

    def __init__(self, group: ScanGroup) -> None:
        nn.ModuleDict.__init__(self, dict(group.items()))
        self.both = group.both
        for name, value in zip(("A", "D", "bias"), group.constants(), strict=True):
            self.register_buffer(name, value)
        for space in self.spaces:
            del space.A_log, space.D
            space.dt_proj.register_parameter("bias", None)

    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return A, D and the step bias."""
        return self.A, self.D, self.bias


def folded_convolution(conv: ModalityConv) -> ModalityConv:
    """Fold BatchNorm into the preceding depthwise convolution, in place."""
    conv.conv = nn.utils.fuse_conv_bn_eval(conv.conv, conv.norm)
    conv.register_module("norm", nn.Identity())
    return conv


def trimmed_layer(layer: Layer) -> Layer:
    """Remove the modules of a layer that the switches leave unused, in place."""
    if not layer.use_prompt:
        layer.prompt = None
    if (layer.after_attention, layer.after_mlp) == UNUSED:
        layer.adapter = None
    return layer


#: Replacement by type of the trained module.
FOLDED: Rules = {
    Embedding: FoldedEmbedding,
    ImageNetEmbedding: FoldedImageNetEmbedding,
    Layer: trimmed_layer,
    Attention: WrittenAttention,
    LowRankLinear: LowRankLinear.merged,
    SynergisticResidualPrompt: FoldedPrompt,
    SeparateResidualPrompt: FoldedPrompt,
    SynergisticPrompt: ConstantPrompt,
    IndependentPrompt: ConstantPrompt,
    ScanGroup: FoldedScanGroup,
    ModalityConv: folded_convolution,
}
