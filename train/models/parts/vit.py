"""CLIP ViT-B/16 (https://arxiv.org/abs/2010.11929) for three modalities: the streams run as one batch of 3B.

Streams do not interact here, so the result is the same, with fewer and larger matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..mambapro.model_config import MambaProConfig
from .adapters import adapter_of_layer
from .fused import attention
from .head import Head
from .layers import Bottleneck, LayerNorm, QuickGELU
from .prompt import prompt_of_layer


class Attention(nn.Module):
    """Multi-head self-attention with packed q, k, v."""

    def __init__(self, width: int, heads: int, out_proj: Callable[[int, int], nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = out_proj(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply self-attention to (batch, tokens, width). Returns (batch, tokens, width)."""
        batch, tokens, width = x.shape
        # (3, batch, heads, tokens, head width)
        q, k, v = self.in_proj(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = self.attend(q, k, v)
        return self.out_proj(x.transpose(1, 2).reshape(batch, tokens, width))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Compute softmax(q k^T / sqrt(d)) v, each (batch, heads, tokens, head width).

        Returns:
            (batch, heads, tokens, head width).
        """
        return attention(q, k, v)


class DropPath(nn.Module):
    """Stochastic depth (https://arxiv.org/abs/1603.09382): drops a layer's part for random streams in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop rows of (rows, ..., width), here streams; the rest is scaled so that the expected value stays.

        Returns:
            (rows, ..., width).
        """
        if not self.training or not self.rate:
            return x
        shape = (x.shape[0], *(1 for _ in x.shape[1:]))
        keep = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


class Tower(NamedTuple):
    """Properties that differ between pretrained towers: LayerNorm's epsilon, the MLP's GELU."""

    epsilon: float
    activation: Callable[[], nn.Module]


CLIP = Tower(1e-5, QuickGELU)


class Layer(nn.Module):
    """One transformer layer with its adapter (published: PFA) and its prompts (published: SRP).

    The PFA is parallel to the MLP and reads the sum after attention, without its LayerNorm (paper eq. 1 to 3).
    """

    def __init__(self, config: MambaProConfig, number: int, tower: Tower = CLIP) -> None:
        """Build layer `number`, counted from 1."""
        super().__init__()
        adapter = adapter_of_layer(config, number)
        self.attention = Attention(config.width, config.heads, adapter.out_proj)
        self.ln_1 = LayerNorm(config.width, tower.epsilon)
        self.mlp = Bottleneck(config.width, config.mlp_width)
        self.mlp.activation = tower.activation()
        self.ln_2 = LayerNorm(config.width, tower.epsilon)
        self.prompt = prompt_of_layer(config, number)
        self.adapter = adapter.module
        self.after_attention, self.after_mlp = adapter.joins
        self.use_prompt = config.prompt
        self.drop_path = DropPath(config.drop_path * (number - 1) / max(config.depth - 1, 1))

    def forward(self, x: Tensor, previous_prompts: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Transform tokens (3B, N, width); `previous_prompts` is what the previous layer propagated of its prompts.

        Returns:
            tokens (3B, N, width), and the prompts for the next layer.
        """
        if self.prompt is None or not self.use_prompt:
            return self.transform(x), None
        tokens = x.shape[1]
        x = self.transform(torch.cat((x, self.prompt(previous_prompts, x.shape[0] // 3)), 1))
        return x[:, :tokens], self.prompt.propagate(x[:, tokens:])

    def transform(self, x: Tensor) -> Tensor:
        """Apply attention, MLP and adapter to (3B, N, width). Returns (3B, N, width)."""
        attended = self.drop_path(self.attention(self.ln_1(x)))
        x = x + self.after_attention(self.adapter, x, attended)
        return x + self.after_mlp(self.adapter, x, self.drop_path(self.mlp(self.ln_2(x))))


class Embedding(nn.Module):
    """Embedding of images: patches, class token, camera embedding (SIE) and positions."""

    #: Name of the camera table among the parameters.
    table = "cameras"

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        height, width = config.grid
        self.patches = nn.Conv2d(3, config.width, config.patch_size, config.patch_size, bias=False)
        self.class_token = nn.Parameter(torch.empty(config.width))
        self.positions = nn.Parameter(torch.empty(1 + height * width, config.width))
        if config.cameras:
            self.register_parameter(self.table, nn.Parameter(torch.empty(config.cameras, config.width)))
        self.ln_pre: nn.Module = LayerNorm(config.width)
        self.use_cameras, self.camera_scale = config.sie_camera, config.sie_coe

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Embed images (3, B, 3, H, W) and cameras (B,). Returns tokens (3B, 1 + patches, width)."""
        class_token = self.class_token.expand(images.shape[1], -1)
        if self.use_cameras:
            class_token = class_token + self.camera_scale * self.camera(camera_ids)
        # the three streams of a sample share its camera: (3B, 1, width)
        class_token = class_token.repeat(3, 1).unsqueeze(1)
        return self.ln_pre(torch.cat((class_token, self.patch_tokens(images)), 1) + self.positions)

    def patch_tokens(self, images: Tensor) -> Tensor:
        """Embed the patches of images (3, B, 3, H, W). Returns (3B, patches, width), row-major."""
        return self.patches(images.flatten(0, 1)).flatten(2).transpose(1, 2)

    def camera(self, ids: Tensor) -> Tensor:
        """Look up the camera table; a number outside it is an unknown camera, which has the mean row.

        Returns:
            (B, width).
        """
        rows = self.camera_rows()
        table = torch.cat((rows, rows.mean(0, keepdim=True)))
        unknown = (ids < 0) | (ids >= len(rows))
        return table[torch.where(unknown, len(rows), ids)]

    def camera_rows(self) -> Tensor:
        """Return the camera table: (cameras, width)."""
        return getattr(self, self.table)


class Backbone(nn.Module):
    """Visual tower of CLIP with adapters and prompts; every token passes CLIP's projection."""

    tower = CLIP
    embedding_type: type[Embedding] = Embedding

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.embedding = self.embedding_type(config)
        self.layers = nn.ModuleList([Layer(config, number, self.tower) for number in range(1, config.depth + 1)])
        self.ln_post = LayerNorm(config.width, self.tower.epsilon)
        self.add_projection(config)
        self.head = Head(config.embed_dim, config.identities)

    def add_projection(self, config: MambaProConfig) -> None:
        """Add CLIP's matrix from the tower's width to embed_dim."""
        self.projection = nn.Parameter(torch.empty(config.width, config.embed_dim))

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Compute tokens of images (3, B, 3, H, W) and cameras (B,).

        Returns:
            (3, B, 1 + patches, embed_dim), class token first.
        """
        x, previous_prompts = self.embedding(images, camera_ids), None
        for layer in self.layers:
            x, previous_prompts = layer(x, previous_prompts)
        return self.project(x).unflatten(0, (3, -1))

    def project(self, x: Tensor) -> Tensor:
        """Project the tokens (3B, N, width) of the last layer. Returns (3B, N, embed_dim)."""
        return self.ln_post(x) @ self.projection
