"""Mamba mixer (https://arxiv.org/abs/2312.00752) with one direction, or two as in Vim (https://arxiv.org/abs/2401.09417).

Parameters carry the names of the public checkpoints.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....plugins.selective_scan.torch_op import selective_scan
from .vit import DropPath

#: Inner channels in widths, taps of the causal convolution, widths that share one rank of the step size.
EXPAND, TAPS, WIDTHS_PER_RANK = 2, 4, 16
_STEPS = (1e-3, 0.1)


class RMSNorm(nn.Module):
    """Division by the root mean square of the last axis, computed in the type of the gain."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., width). Returns (..., width) in the type of the gain."""
        x = x.to(self.weight.dtype)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


class ScanConstants(NamedTuple):
    """Constants of all directions: rates, skips and step biases of the scan, taps and biases of the convolution."""

    A: Tensor
    D: Tensor
    step_bias: Tensor
    taps: Tensor
    taps_bias: Tensor


class MambaMixer(nn.Module):
    """Projection, causal convolution, selective scan, gate, projection; all directions run as groups of one scan.

    The second direction reads the tokens from their end with parameters of its own; the mean of both outputs is gated.
    """

    def __init__(self, width: int, state: int = 16, bidirectional: bool = False) -> None:
        super().__init__()
        inner, rank = EXPAND * width, math.ceil(width / WIDTHS_PER_RANK)
        self.rank, self.state, self.bidirectional = rank, state, bidirectional
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        for suffix in ("", "_b") if bidirectional else ("",):
            self.register_parameter(f"A{suffix}_log", nn.Parameter(decay_rates(inner, state)))
            self.register_parameter(f"D{suffix}", nn.Parameter(torch.ones(inner)))
            self.add_module(f"conv1d{suffix}", nn.Conv1d(inner, inner, TAPS, groups=inner))
            self.add_module(f"x_proj{suffix}", nn.Linear(inner, rank + 2 * state, bias=False))
            step = nn.Linear(rank, inner)
            nn.init.uniform_(step.weight, -(rank**-0.5), rank**-0.5)
            step.bias = nn.Parameter(step_bias(inner))
            self.add_module(f"dt_proj{suffix}", step)
        self.out_proj = nn.Linear(inner, width, bias=False)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of the names of each direction's parameters, in the order of the scan's groups."""
        return ("", "_b") if self.bidirectional else ("",)

    def constants(self) -> ScanConstants:
        """Compute the constants of all directions."""
        parts = [
            (
                getattr(self, f"A{suffix}_log"),
                getattr(self, f"D{suffix}"),
                getattr(self, f"dt_proj{suffix}").bias,
                getattr(self, f"conv1d{suffix}").weight,
                getattr(self, f"conv1d{suffix}").bias,
            )
            for suffix in self.suffixes
        ]
        logs, *others = (torch.cat(values) for values in zip(*parts, strict=True))
        return ScanConstants(-torch.exp(logs), *others)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens (B, L, width). Returns (B, L, width)."""
        x, gate = self.in_proj(x).chunk(2, -1)
        if self.bidirectional:
            x = torch.cat((x, x.flip(1)), -1)
        A, D, bias, taps, taps_bias = self.constants()
        u = F.silu(self._convolve(x, taps, taps_bias))
        steps, bs, cs = [], [], []
        for part, suffix in zip(u.chunk(len(self.suffixes), -1), self.suffixes, strict=True):
            step, b, c = getattr(self, f"x_proj{suffix}")(part).split([self.rank, self.state, self.state], -1)
            # the bias of dt_proj is added inside the scan, in float32
            steps.append(F.linear(step, getattr(self, f"dt_proj{suffix}").weight))
            bs.append(b)
            cs.append(c)
        y = selective_scan(u, torch.cat(steps, -1), A, torch.stack(bs, 2), torch.stack(cs, 2), D, bias)
        if self.bidirectional:
            ahead, back = y.chunk(2, -1)
            y = (ahead + back.flip(1)) / 2
        return self.out_proj(y * F.silu(gate))

    @staticmethod
    def _convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve (B, L, channels) causally along L, all directions at once. Returns (B, L, channels)."""
        x = F.pad(x.transpose(1, 2), (TAPS - 1, 0))
        return F.conv1d(x, weight, bias, groups=len(weight)).transpose(1, 2)


class MambaBlock(nn.Module):
    """RMSNorm and mixer around a residual stream that is kept apart from the hidden tokens."""

    def __init__(self, width: int, state: int = 16, bidirectional: bool = False, drop_path: float = 0.0) -> None:
        super().__init__()
        self.mixer = MambaMixer(width, state, bidirectional)
        self.norm = RMSNorm(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, hidden: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Add the hidden tokens (B, L, width) to the residual stream, normalize and mix it.

        Returns:
            hidden tokens and residual stream, each (B, L, width); the stream does not hold the hidden tokens yet.
        """
        residual = self.join(hidden, residual, self.drop_path)
        return self.mixer(self.norm(residual)), residual

    def join(self, hidden: Tensor, residual: Tensor | None, drop_path: nn.Module) -> Tensor:
        """Add hidden tokens to the residual stream, in the type of the parameters. Returns (B, L, width)."""
        hidden = hidden.to(self.norm.weight.dtype)
        return hidden if residual is None else residual + drop_path(hidden)


def decay_rates(channels: int, state: int) -> Tensor:
    """Return the logarithm of 1, 2, ... state for every channel (S4D-real, https://arxiv.org/abs/2206.11893).

    Returns:
        (channels, state).
    """
    return torch.arange(1, state + 1, dtype=torch.float32).log().repeat(channels, 1)


def step_bias(*shape: int) -> Tensor:
    """Draw step sizes log-uniformly from 0.001 to 0.1. Returns their inverse softplus, of this shape."""
    low, high = (math.log(value) for value in _STEPS)
    step = torch.exp(torch.rand(*shape) * (high - low) + low)
    return step + torch.log(-torch.expm1(-step))
