"""Block of a plain ViT (https://arxiv.org/abs/2010.11929) with the names of timm's checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from .fused import attention
from .layers import LayerNorm
from .vit import DropPath

EPSILON = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self-attention with packed q, k, v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over tokens (B, N, width). Returns (B, N, width)."""
        # (3, B, heads, N, head width)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width). Returns (..., width)."""
        return self.fc2(self.act(self.fc1(x)))


class ViTBlock(nn.Module):
    """Attention and MLP, each behind a LayerNorm and in front of a residual sum."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, EPSILON)
        self.attn = SelfAttention(width, heads)
        self.norm2 = LayerNorm(width, EPSILON)
        self.mlp = MLP(width, mlp_ratio * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (B, N, width). Returns (B, N, width)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
