"""Selective state space layer (S6, Mamba, https://arxiv.org/abs/2312.00752), its directions and grouped scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ....plugins.selective_scan.torch_op import selective_scan
from .layers import LayerNorm

#: Directions of a scan; the second one exists with `mamba_bi` only.
DIRECTIONS = ("ahead", "back")


class StateSpace(nn.Module):
    """Parameters of one scan direction: projections of the input to step, B and C, and A and D (Mamba eq. 2)."""

    def __init__(self, channels: int, state: int, dt_rank: int) -> None:
        super().__init__()
        self.dt_rank, self.state = dt_rank, state
        self.A_log = nn.Parameter(torch.empty(channels, state))
        self.D = nn.Parameter(torch.empty(channels))
        self.x_proj = nn.Linear(channels, dt_rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, channels)
        self.out_norm = LayerNorm(channels)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project the input (B, L, channels). Returns raw step (B, L, channels), B and C (B, L, state)."""
        step, b, c = self.x_proj(x).split([self.dt_rank, self.state, self.state], -1)
        # the bias of dt_proj is added inside the scan, in float32
        return nn.functional.linear(step, self.dt_proj.weight), b, c

    def decay(self) -> Tensor:
        """Return A: float32 (channels, state), negative."""
        return -torch.exp(self.A_log)


class ScanGroup(nn.ModuleDict):
    """Several scans that run as one grouped call, each on its own sequence and with its own parameters.

    Holds {sequence: {direction: StateSpace}}. The optional "back" direction reads the sequence from its end, and its
    output is added to the "ahead" one.
    """

    def __init__(self, sequences: Sequence[str], directions: Sequence[str], space: Callable[[], StateSpace]) -> None:
        super().__init__({name: nn.ModuleDict({d: space() for d in directions}) for name in sequences})
        self.both = len(directions) == 2

    @property
    def spaces(self) -> list[StateSpace]:
        """All directions, sequence-major: the order of the groups."""
        return [cast(StateSpace, space) for directions in self.children() for space in directions.children()]

    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return A, D and the step bias of all groups.

        Returns:
            A (groups * channels, state), D and step bias (groups * channels,), float32.
        """
        spaces = self.spaces
        return (
            torch.cat([space.decay() for space in spaces]),
            torch.cat([space.D for space in spaces]),
            torch.cat([space.dt_proj.bias for space in spaces]),
        )

    def forward(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Scan one (B, L, channels) for each sequence.

        Returns:
            one (B, L, channels) for each sequence, scanned and normalized (out_norm).
        """
        inputs = [x for s in sequences for x in ((s, s.flip(1)) if self.both else (s,))]
        spaces = self.spaces
        steps, bs, cs = zip(*(space.project(x) for space, x in zip(spaces, inputs, strict=True)), strict=True)
        A, D, bias = self.constants()
        y = selective_scan(
            torch.cat(inputs, -1), torch.cat(steps, -1), A, torch.stack(bs, 2), torch.stack(cs, 2), D, bias
        )
        outputs = [space.out_norm(part) for space, part in zip(spaces, y.chunk(len(spaces), -1), strict=True)]
        if not self.both:
            return outputs
        return [ahead + back.flip(1) for ahead, back in zip(outputs[::2], outputs[1::2], strict=True)]
