"""The selective state space layer (S6) of one direction, and how several of them share one scan."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...plugins.selective_scan.torch_op import selective_scan
from .layers import LayerNorm


class StateSpace(nn.Module):
    """The parameters of one scan direction: what makes step, B and C from the input, and A and D (Mamba eq. 2)."""

    def __init__(self, channels: int, state: int, dt_rank: int) -> None:
        super().__init__()
        self.dt_rank, self.state = dt_rank, state
        self.A_log = nn.Parameter(torch.empty(channels, state))
        self.D = nn.Parameter(torch.empty(channels))
        self.x_proj = nn.Linear(channels, dt_rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, channels)
        self.out_norm = LayerNorm(channels)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input (B, L, channels) -> raw step (B, L, channels), B and C (B, L, state)."""
        step, b, c = self.x_proj(x).split([self.dt_rank, self.state, self.state], -1)
        # the bias of dt_proj is added inside the scan, in float32
        return nn.functional.linear(step, self.dt_proj.weight), b, c

    def decay(self) -> Tensor:
        """A (channels, state), negative, float32."""
        return -torch.exp(self.A_log)


def scan_together(spaces: Sequence[StateSpace], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Several directions as ONE grouped scan, each on its own input and parameters.

    Args:
        spaces: G directions.
        inputs: G tensors (B, L, channels).

    Returns:
        G tensors (B, L, channels): scan output after each direction's own LayerNorm.
    """
    steps, bs, cs = zip(*(space.project(x) for space, x in zip(spaces, inputs, strict=True)), strict=True)
    y = selective_scan(
        torch.cat(list(inputs), -1),
        torch.cat(steps, -1),
        torch.cat([space.decay() for space in spaces]),
        torch.stack(bs, 2),
        torch.stack(cs, 2),
        torch.cat([space.D for space in spaces]),
        torch.cat([space.dt_proj.bias for space in spaces]),
    )
    return [space.out_norm(part) for space, part in zip(spaces, y.chunk(len(spaces), -1), strict=True)]
