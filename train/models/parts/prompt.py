"""Prompts: tokens that carry what the other sensors' prompts learned (paper figures 2 b, 2 c, 4 and table 4).

A stream (the tokens of one modality) gets extra tokens at the entry of every layer: its own prompt and, in all kinds
but one, the two others', moved over by a transfer. The prompts are parameters: no image of another modality is
involved.

A kind is a module with two methods: `forward` makes a layer's prompt tokens from what the layer before handed on, and
`hand_on` says what that is, given the prompt tokens as the layer returned them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....runtime.data.modalities import MODALITIES
from ..mambapro.model_config import MambaProConfig
from .layers import Bottleneck


class IndependentPrompt(nn.Module):
    """IP: every stream has its own prompt and knows of no other; 9,216 values in the paper's model (0.01 M)."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        shape = config.prompt_tokens, config.width
        self.tokens = nn.ParameterDict({m: nn.Parameter(torch.zeros(shape)) for m in MODALITIES})

    def forward(self, handed_on: Tensor | None, batch: int) -> Tensor:
        """Prompt tokens of this layer.

        Args:
            handed_on: (3 streams, batch, tokens, width), what `hand_on` kept of the layer before; None if nothing, as
                in the first layer.
            batch: samples B.

        Returns:
            (3 streams * batch, tokens of all groups, width).
        """
        return self.own().unsqueeze(1).expand(-1, batch, -1, -1).flatten(0, 1)

    def hand_on(self, prompts: Tensor) -> Tensor | None:
        """What the next layer gets of the prompt tokens (3 streams * batch, tokens of all groups, width)."""
        return None

    def own(self) -> Tensor:
        """The prompts p, (3, tokens, width)."""
        return torch.stack([self.tokens[m] for m in MODALITIES])


class SynergisticPrompt(IndependentPrompt):
    """SP: the other streams' prompts come over a transfer, p + T(p); 1,782,144 values (1.78 M; paper eq. 4 to 6).

    Each layer starts anew. The residual p of the transfer is the released code's for SRP, and ours here.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.transfer = nn.ModuleDict({m: Bottleneck(config.width, config.transfer_width) for m in MODALITIES})

    def forward(self, handed_on: Tensor | None, batch: int) -> Tensor:
        """As IndependentPrompt; the three groups are ordered rgb, nir, tir in every stream."""
        return arrange(self.own().unsqueeze(1).expand(-1, batch, -1, -1), self.moved())

    def moved(self) -> Tensor:
        """The prompts as the other streams get them, p + T(p), (3, tokens, width)."""
        return torch.stack([self.tokens[m] + self.transfer[m](self.tokens[m]) for m in MODALITIES])


class SynergisticResidualPrompt(SynergisticPrompt):
    """SRP, with fusion: the mean of the three groups goes on to the next layer; 2,373,120 values (2.37 M; eq. 4 to 12).

    Departs from the paper as the released weights require: transfers are residual, p + T(p), and so is the carry from
    the layer before, f + R(f) + p.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.residual: nn.Module = Bottleneck(config.width, config.transfer_width)

    def forward(self, handed_on: Tensor | None, batch: int) -> Tensor:
        """As SynergisticPrompt, with what the layer before handed on in each stream's own group."""
        return arrange(carry(self.own(), handed_on, self.residual, batch), self.moved())

    def hand_on(self, prompts: Tensor) -> Tensor | None:
        """(3, batch, tokens, width), the groups' mean."""
        return groups(prompts).mean(2)


class SeparateResidualPrompt(SynergisticResidualPrompt):
    """SRP with separation: each stream hands on its own group alone, over a residual R_m of its own.

    3,555,072 values. The paper says 3.55 M, which is three more networks than SP has, and 0.29 GFLOPs, which is a
    residual of one group per stream; "the prompts of separate modalities" is all it writes.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.residual = PerModality({m: Bottleneck(config.width, config.transfer_width) for m in MODALITIES})

    def hand_on(self, prompts: Tensor) -> Tensor | None:
        """(3, batch, tokens, width), each stream's own group."""
        return torch.stack([stream[:, i] for i, stream in enumerate(groups(prompts))])


class PerModality(nn.ModuleDict):
    """One module for each modality, on its own part of a tensor (3, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """(3, ...) -> (3, ...), rgb, nir, tir."""
        return torch.stack([self[m](part) for m, part in zip(MODALITIES, x, strict=True)])


#: What a layer has by `prompt_kind`.
PROMPTS: dict[str, type[IndependentPrompt]] = {
    "srp": SynergisticResidualPrompt,
    "srp_separation": SeparateResidualPrompt,
    "sp": SynergisticPrompt,
    "independent": IndependentPrompt,
}


def prompt_of_layer(config: MambaProConfig, number: int) -> IndependentPrompt | None:
    """The prompts of layer `number`, counted from 1; None before the first layer that has some."""
    return PROMPTS[config.prompt_kind](config) if number >= config.prompt_first_layer else None


def carry(own: Tensor, handed_on: Tensor | None, residual: nn.Module, batch: int) -> Tensor:
    """Each stream's own prompt: p in the first layer, later f + R(f) + p.

    Args:
        own: (3, tokens, width), the prompts p.
        handed_on: f, (3, batch, tokens, width), or None.

    Returns:
        (3, batch, tokens, width).
    """
    own = own.unsqueeze(1)
    return own.expand(-1, batch, -1, -1) if handed_on is None else handed_on + residual(handed_on) + own


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
    arranged = torch.where(mine, own.unsqueeze(2), moved.view(1, 1, *moved.shape))
    return arranged.reshape(-1, 3 * moved.shape[1], width)


def groups(prompts: Tensor) -> Tensor:
    """Prompt tokens (3 * batch, 3 * tokens, width) as (3 streams, batch, 3 groups, tokens, width)."""
    streams, tokens, width = prompts.shape
    return prompts.reshape(3, streams // 3, 3, tokens // 3, width)
