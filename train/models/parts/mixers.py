"""Aggregation without scans, for comparison with MA: sum, concatenation, Transformers (paper tables 6 and 11).

Each takes and returns patch tokens (3, B, L, dim), as the scans do. What the paper leaves open is fixed by its counts
of parameters; see each class.
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
    """Sum over the modalities, patch by patch; no parameters, so that the reductions' 1.58 M are all there is."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()

    def forward(self, tokens: Tensor) -> Tensor:
        """(3, B, L, dim) -> the same three times over."""
        return tokens.sum(0, keepdim=True).expand(3, -1, -1, -1)


class ConcatMixer(nn.Module):
    """Three modalities' channels side by side, patch by patch, through one linear layer 3 dim -> dim.

    0.787 M values and 0.10 G multiplications on 128 patches: 2.37 M with the reductions.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * config.embed_dim, config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(3, B, L, dim) -> the same three times over."""
        return self.linear(torch.cat(tuple(tokens), -1)).expand(3, -1, -1, -1)


class TransformerLayer(nn.Module):
    """Standard layer: attention and MLP, each behind a LayerNorm; 3,152,384 values at dim 512.

    Ours where the paper is silent: LayerNorm first, heads 64 wide, CLIP's activation.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_1 = LayerNorm(dim)
        self.attention = Attention(dim, dim // HEAD_WIDTH)
        self.norm_2 = LayerNorm(dim)
        self.mlp = Bottleneck(dim, MLP_RATIO * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, dim) -> the same."""
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class InterModalityTransformer(nn.Module):
    """One layer over all patches of rgb, nir, tir in a row: 4.73 M with the reductions, 1.36 GFLOPs."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.layer = TransformerLayer(config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(3, B, L, dim) -> the same."""
        return torch.stack(self.layer(torch.cat(tuple(tokens), 1)).chunk(3, 1))


class IntraModalityTransformer(nn.Module):
    """One layer for each modality over its own patches.

    With the layer across modalities that is four of them, 14.19 M with the reductions: table 11's MA(Trans).
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.layers = PerModality({m: TransformerLayer(config.embed_dim) for m in MODALITIES})

    def forward(self, tokens: Tensor) -> Tensor:
        """(3, B, L, dim) -> the same."""
        return self.layers(tokens)
