"""What several parts of the model share."""

from __future__ import annotations

from torch import Tensor, nn

from .fused import quick_gelu


class LayerNorm(nn.LayerNorm):
    """LayerNorm computed in float32 whatever the type around it, as CLIP does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), CLIP's activation; the paper writes GELU, the released weights want this one."""

    def forward(self, x: Tensor) -> Tensor:
        return quick_gelu(x)


class Bottleneck(nn.Module):
    """Linear, QuickGELU, Linear: the shape of MLP, adapter (PFA) and prompt transfer (SRP)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.activation: nn.Module = QuickGELU()
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))
