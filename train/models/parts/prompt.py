"""Prompts: learned tokens that transfer information between modalities (paper figures 2 b, 2 c, 4 and table 4).

A stream (the tokens of one modality) gets extra tokens at the input of every layer: its own prompt and, in all kinds
but one, the transferred prompts of the two others. The prompts are parameters: no image of another modality is
involved.

A kind is a module with two methods: `forward` computes a layer's prompt tokens from those that the previous layer
propagated, and `propagate` selects the latter from the layer's output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....runtime.data.modalities import MODALITIES
from ..mambapro.model_config import MambaProConfig
from .layers import Bottleneck


class IndependentPrompt(nn.Module):
    """IP: every stream has only its own prompt; 9,216 values in the paper's model (0.01 M)."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        shape = config.prompt_tokens, config.width
        self.tokens = nn.ParameterDict({m: nn.Parameter(torch.zeros(shape)) for m in MODALITIES})

    def forward(self, previous_prompts: Tensor | None, batch: int) -> Tensor:
        """Compute the prompt tokens of this layer.

        Args:
            previous_prompts: (3 streams, batch, tokens, width), result of the previous layer's `propagate`; None in the
                first layer.
            batch: samples B.

        Returns:
            (3 streams * batch, tokens of all groups, width).
        """
        return self.own().unsqueeze(1).expand(-1, batch, -1, -1).flatten(0, 1)

    def propagate(self, prompts: Tensor) -> Tensor | None:
        """Select the input of the next layer's prompts from prompt tokens (3 streams * batch, tokens, width).

        Returns:
            (3 streams, batch, tokens, width), or None if nothing is propagated.
        """
        return None

    def own(self) -> Tensor:
        """Return the prompts p: (3, tokens, width)."""
        return torch.stack([self.tokens[m] for m in MODALITIES])


class SynergisticPrompt(IndependentPrompt):
    """SP: the other streams' prompts pass a transfer, p + T(p); 1,782,144 values (1.78 M; paper eq. 4 to 6).

    Layers are independent. The residual p of the transfer is the released code's for SRP, and ours here.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.transfer = nn.ModuleDict({m: Bottleneck(config.width, config.transfer_width) for m in MODALITIES})

    def forward(self, previous_prompts: Tensor | None, batch: int) -> Tensor:
        """Compute the prompt tokens; the three groups are ordered rgb, nir, tir in every stream."""
        return order_groups(self.own().unsqueeze(1).expand(-1, batch, -1, -1), self.transferred())

    def transferred(self) -> Tensor:
        """Return the transferred prompts p + T(p): (3, tokens, width)."""
        return torch.stack([self.tokens[m] + self.transfer[m](self.tokens[m]) for m in MODALITIES])


class SynergisticResidualPrompt(SynergisticPrompt):
    """SRP with fusion: the mean of the three groups reaches the next layer; 2,373,120 values (2.37 M; eq. 4 to 12).

    Differs from the paper as the released weights require: transfers are residual, p + T(p), and so is the input from
    the previous layer, f + R(f) + p.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.residual: nn.Module = Bottleneck(config.width, config.transfer_width)

    def forward(self, previous_prompts: Tensor | None, batch: int) -> Tensor:
        """Compute the prompt tokens, with those of the previous layer in each stream's own group."""
        return order_groups(residual_prompts(self.own(), previous_prompts, self.residual, batch), self.transferred())

    def propagate(self, prompts: Tensor) -> Tensor | None:
        """Average the groups. Returns (3, batch, tokens, width)."""
        return groups(prompts).mean(2)


class SeparateResidualPrompt(SynergisticResidualPrompt):
    """SRP with separation: each stream propagates its own group, through a residual R_m of its own.

    3,555,072 values. The paper says 3.55 M, which is three more networks than SP has, and 0.29 GFLOPs, which is a
    residual of one group per stream; "the prompts of separate modalities" is its only description.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.residual = PerModality({m: Bottleneck(config.width, config.transfer_width) for m in MODALITIES})

    def propagate(self, prompts: Tensor) -> Tensor | None:
        """Select each stream's own group. Returns (3, batch, tokens, width)."""
        return torch.stack([stream[:, i] for i, stream in enumerate(groups(prompts))])


class PerModality(nn.ModuleDict):
    """One module for each modality, applied to its part of a tensor (3, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the modules to (3, ...), ordered rgb, nir, tir. Returns (3, ...)."""
        return torch.stack([self[m](part) for m, part in zip(MODALITIES, x, strict=True)])


#: Prompt class by `prompt_kind`.
PROMPTS: dict[str, type[IndependentPrompt]] = {
    "srp": SynergisticResidualPrompt,
    "srp_separation": SeparateResidualPrompt,
    "sp": SynergisticPrompt,
    "independent": IndependentPrompt,
}


def prompt_of_layer(config: MambaProConfig, number: int) -> IndependentPrompt | None:
    """Build the prompts of layer `number`, counted from 1; None before the first layer with prompts."""
    return PROMPTS[config.prompt_kind](config) if number >= config.prompt_first_layer else None


def residual_prompts(own: Tensor, previous_prompts: Tensor | None, residual: nn.Module, batch: int) -> Tensor:
    """Return each stream's own prompt: p in the first layer, later f + R(f) + p.

    Args:
        own: (3, tokens, width), the prompts p.
        previous_prompts: f, (3, batch, tokens, width), or None.

    Returns:
        (3, batch, tokens, width).
    """
    own = own.unsqueeze(1)
    return (
        own.expand(-1, batch, -1, -1)
        if previous_prompts is None
        else previous_prompts + residual(previous_prompts) + own
    )


def order_groups(own: Tensor, transferred: Tensor) -> Tensor:
    """Order every stream's prompt groups as rgb, nir, tir: its own and the two transferred ones.

    Args:
        own: (3 streams, batch, tokens, width).
        transferred: (3 sources, tokens, width).

    Returns:
        (3 * batch, 3 * tokens, width).
    """
    width = own.shape[-1]
    # (3 streams, batch, 3 groups, tokens, width)
    mine = torch.eye(3, dtype=torch.bool, device=own.device).view(3, 1, 3, 1, 1)
    arranged = torch.where(mine, own.unsqueeze(2), transferred.view(1, 1, *transferred.shape))
    return arranged.reshape(-1, 3 * transferred.shape[1], width)


def groups(prompts: Tensor) -> Tensor:
    """View prompt tokens (3 * batch, 3 * tokens, width) by group.

    Returns:
        (3 streams, batch, 3 groups, tokens, width).
    """
    streams, tokens, width = prompts.shape
    return prompts.reshape(3, streams // 3, 3, tokens // 3, width)
