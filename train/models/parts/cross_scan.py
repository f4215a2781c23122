"""SS2D of VMamba (https://arxiv.org/abs/2401.10166): four scan directions over a feature map, in one selective scan."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....plugins.selective_scan.torch_op import selective_scan
from .layers import LayerNorm
from .mamba_mixer import WIDTHS_PER_RANK, decay_rates, step_bias

#: Row-major, column-major, and both from their ends.
DIRECTIONS = 4


def ordered(x: Tensor, direction: int) -> Tensor:
    """Flatten a map (B, H, W, channels) in the order of a direction. Returns (B, H W, channels)."""
    sequence = (x.transpose(1, 2) if direction % 2 else x).flatten(1, 2)
    return sequence.flip(1) if direction >= 2 else sequence


def unordered(x: Tensor, direction: int, size: tuple[int, int]) -> Tensor:
    """Restore a map from its sequence (B, H W, channels); the inverse of `ordered`.

    Args:
        size: (H, W).

    Returns:
        (B, H, W, channels).
    """
    height, width = size
    sequence = x.flip(1) if direction >= 2 else x
    return sequence.unflatten(1, (width, height)).transpose(1, 2) if direction % 2 else sequence.unflatten(1, size)


class SS2D(nn.Module):
    """2D selective scan: project, convolve 3x3, scan in four directions, sum, normalize, gate (v0 only), project."""

    def __init__(self, width: int, state: int, ratio: int, gated: bool) -> None:
        super().__init__()
        inner, rank = ratio * width, math.ceil(width / WIDTHS_PER_RANK)
        self.state, self.gated = state, gated
        self.in_proj = nn.Linear(width, 2 * inner if gated else inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=gated)
        self.x_proj_weight = nn.Parameter(_uniform(inner, DIRECTIONS, rank + 2 * state, inner))
        self.dt_projs_weight = nn.Parameter(_uniform(rank, DIRECTIONS, inner, rank))
        self.dt_projs_bias = nn.Parameter(step_bias(DIRECTIONS, inner))
        self.A_logs = nn.Parameter(decay_rates(DIRECTIONS * inner, state))
        self.Ds = nn.Parameter(torch.ones(DIRECTIONS * inner))
        self.out_norm = LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix a map (B, H, W, width). Returns (B, H, W, width)."""
        x = self.in_proj(x)
        gate = None
        if self.gated:
            x, gate = x.chunk(2, -1)
        x = F.silu(self.conv2d(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        y = self.out_norm(self.scan(x))
        return self.out_proj(y if gate is None else y * F.silu(gate))

    def constants(self) -> tuple[Tensor, Tensor]:
        """Compute the rates and step biases of all directions."""
        return -torch.exp(self.A_logs), self.dt_projs_bias.flatten()

    def project(self, x: Tensor) -> Tensor:
        """Project a map (B, H, W, inner) for all directions. Returns (B, H, W, 4 (rank + 2 state))."""
        return F.linear(x, self.x_proj_weight.flatten(0, 1))

    def scan(self, x: Tensor) -> Tensor:
        """Scan a map (B, H, W, inner) in all directions. Returns the sum of their outputs, (B, H, W, inner)."""
        rank = self.dt_projs_weight.shape[-1]
        # projected once for all directions, in one product, and ordered afterwards: (B, H, W, rank + 2 state) each
        projected = self.project(x).chunk(DIRECTIONS, -1)
        steps, bs, cs = [], [], []
        for direction, values in enumerate(projected):
            step, b, c = ordered(values, direction).split([rank, self.state, self.state], -1)
            steps.append(F.linear(step, self.dt_projs_weight[direction]))
            bs.append(b)
            cs.append(c)
        u = torch.cat([ordered(x, direction) for direction in range(DIRECTIONS)], -1)
        A, bias = self.constants()
        y = selective_scan(u, torch.cat(steps, -1), A, torch.stack(bs, 2), torch.stack(cs, 2), self.Ds, bias)
        size = (x.shape[1], x.shape[2])
        # summed pairwise along each axis, as the two of an axis share their way back
        rows, columns, rows_back, columns_back = y.chunk(DIRECTIONS, -1)
        return unordered(rows + rows_back.flip(1), 0, size) + unordered(columns + columns_back.flip(1), 1, size)


def _uniform(inputs: int, *shape: int) -> Tensor:
    """Draw weights as nn.Linear does for this number of inputs."""
    return (2 * torch.rand(*shape) - 1) * inputs**-0.5
