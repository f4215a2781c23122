"""Aggregation without scans, for comparison with MA: sum, concatenation, Transformers (paper tables 6 and 11).

Each maps patch tokens (3, B, L, dim) to the same shape, as the scans do. Details that the paper leaves open follow from
its parameter counts; see each class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....runtime.data.modalities import MODALITIES
from ..mambapro.model_config import HEAD_WIDTH, MambaProConfig
from .layers import Bottleneck, LayerNorm
from .prompt import PerModality
from .vit import Attention

#: Width of a Transformer's MLP, in widths of its tokens.
MLP_RATIO = 4


class SumMixer(nn.Module):
    """Sum over the modalities, patch by patch; no parameters, so that only the reductions' 1.58 M remain."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()

    def forward(self, tokens: Tensor) -> Tensor:
        """Sum the tokens (3, B, L, dim). Returns (3, B, L, dim), the sum three times."""
        return tokens.sum(0, keepdim=True).expand(3, -1, -1, -1)


class ConcatMixer(nn.Module):
    """Linear layer 3 dim -> dim over the concatenated channels of three modalities, patch by patch.

    0.787 M values and 0.10 G multiplications on 128 patches: 2.37 M with the reductions.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * config.embed_dim, config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (3, B, L, dim). Returns (3, B, L, dim), the result three times."""
        return self.linear(torch.cat(tuple(tokens), -1)).expand(3, -1, -1, -1)


class TransformerLayer(nn.Module):
    """Standard layer: attention and MLP, each after a LayerNorm; 3,152,384 values at dim 512.

    Our choices where the paper gives none: LayerNorm first, heads 64 wide, CLIP's activation.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_1 = LayerNorm(dim)
        self.attention = Attention(dim, dim // HEAD_WIDTH)
        self.norm_2 = LayerNorm(dim)
        self.mlp = Bottleneck(dim, MLP_RATIO * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (B, N, dim). Returns (B, N, dim)."""
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class InterModalityTransformer(nn.Module):
    """One layer over the concatenated patches of rgb, nir, tir: 4.73 M with the reductions, 1.36 GFLOPs."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.layer = TransformerLayer(config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (3, B, L, dim). Returns (3, B, L, dim)."""
        return torch.stack(self.layer(torch.cat(tuple(tokens), 1)).chunk(3, 1))


class IntraModalityTransformer(nn.Module):
    """One layer for each modality over its own patches.

    With the layer across modalities these are four layers, 14.19 M with the reductions: table 11's MA(Trans).
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.layers = PerModality({m: TransformerLayer(config.embed_dim) for m in MODALITIES})

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (3, B, L, dim). Returns (3, B, L, dim)."""
        return self.layers(tokens)
