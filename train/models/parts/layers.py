"""Layers shared by several parts of the model."""

from __future__ import annotations

from torch import Tensor, nn

from .fused import quick_gelu


class LayerNorm(nn.LayerNorm):
    """LayerNorm computed in float32 regardless of the surrounding type, as in CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last axis, in the type of `x`."""
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class QuickGELU(nn.Module):
    """Activation x * sigmoid(1.702 x) of CLIP; the paper writes GELU, the released weights require this one."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the activation."""
        return quick_gelu(x)


class Bottleneck(nn.Module):
    """Linear, QuickGELU, Linear: structure of MLP, adapter (PFA) and prompt transfer (SRP)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.activation: nn.Module = QuickGELU()
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return self.outer(self.activation(self.inner(x)))
