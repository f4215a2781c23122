"""Synergistic Residual Prompt (SRP): tokens that carry what the other sensors' prompts learned.

A stream (the tokens of one modality) gets 3 x N_pr extra tokens at the entry of every layer: its own prompt and the two
others', moved over by a transfer. The prompts are parameters: no image of another modality is involved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...runtime.modalities import MODALITIES
from .layers import Bottleneck


class SynergisticResidualPrompt(nn.Module):
    """The prompts of one layer for all three streams (paper eq. 4 to 8).

    Departs from the paper as the released weights require: transfers are residual, p + T(p), and so is the carry from
    the layer before, f + R(f) + p.
    """

    def __init__(self, width: int, tokens: int, transfer_width: int) -> None:
        super().__init__()
        self.tokens = nn.ParameterDict({m: nn.Parameter(torch.zeros(tokens, width)) for m in MODALITIES})
        self.transfer = nn.ModuleDict({m: Bottleneck(width, transfer_width) for m in MODALITIES})
        self.residual = Bottleneck(width, transfer_width)

    def forward(self, fused: Tensor | None, batch: int) -> Tensor:
        """Prompt tokens of this layer.

        Args:
            fused: (3 streams, batch, tokens, width), what `fuse` made of the layer before; None in the first layer.
            batch: samples B.

        Returns:
            (3 streams * batch, 3 * tokens, width); the three groups are ordered rgb, nir, tir in every stream.
        """
        own = torch.stack([self.tokens[m] for m in MODALITIES])
        moved = torch.stack([self.tokens[m] + self.transfer[m](self.tokens[m]) for m in MODALITIES])
        return arrange(carry(own, fused, self.residual, batch), moved)


def carry(own: Tensor, fused: Tensor | None, residual: nn.Module, batch: int) -> Tensor:
    """Each stream's own prompt: p in the first layer, later f + R(f) + p.

    Args:
        own: (3, tokens, width), the prompts p.
        fused: (3, batch, tokens, width) or None.

    Returns:
        (3, batch, tokens, width).
    """
    own = own.unsqueeze(1)
    return own.expand(-1, batch, -1, -1) if fused is None else fused + residual(fused) + own


def arrange(own: Tensor, moved: Tensor) -> Tensor:
    """Every stream's prompt groups in the order rgb, nir, tir: its own at its own place, the moved ones elsewhere.

    Args:
        own: (3 streams, batch, tokens, width).
        moved: (3 sources, tokens, width).

    Returns:
        (3 * batch, 3 * tokens, width).
    """
    width = own.shape[-1]
    # (3 streams, batch, 3 groups, tokens, width)
    mine = torch.eye(3, dtype=torch.bool, device=own.device).view(3, 1, 3, 1, 1)
    groups = torch.where(mine, own.unsqueeze(2), moved.view(1, 1, *moved.shape))
    return groups.reshape(-1, 3 * moved.shape[1], width)


def fuse(prompts: Tensor) -> Tensor:
    """Mean of the three prompt groups as a layer returned them.

    Args:
        prompts: (3 * batch, 3 * tokens, width).

    Returns:
        (3, batch, tokens, width).
    """
    streams, tokens, width = prompts.shape
    return prompts.reshape(3, streams // 3, 3, tokens // 3, width).mean(2)
