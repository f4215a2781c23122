"""CLIP ViT-B/16 for three modalities at once: the streams run as one batch of 3B.

Streams do not meet in here, so nothing is lost by that, and every matrix product is three times as long.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import MambaProConfig
from .head import Head
from .layers import Bottleneck, LayerNorm
from .prompt import SynergisticResidualPrompt, fuse


class Attention(nn.Module):
    """Multi-head self-attention with packed q, k, v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        # (3, batch, heads, tokens, head width)
        q, k, v = self.in_proj(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = self.attend(q, k, v)
        return self.out_proj(x.transpose(1, 2).reshape(batch, tokens, width))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax(q k^T / sqrt(d)) v, each (batch, heads, tokens, head width)."""
        return F.scaled_dot_product_attention(q, k, v)


class Layer(nn.Module):
    """One transformer layer with its Parallel Feed-Forward Adapter (PFA) and its prompts (SRP).

    The adapter stands beside the MLP and reads the sum after attention, not its LayerNorm (paper eq. 1 to 3).
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads)
        self.ln_1 = LayerNorm(config.width)
        self.mlp = Bottleneck(config.width, config.mlp_width)
        self.ln_2 = LayerNorm(config.width)
        self.prompt = SynergisticResidualPrompt(config.width, config.prompt_tokens, config.transfer_width)
        self.adapter = Bottleneck(config.width, config.adapter_width)
        self.use_prompt, self.use_adapter = config.prompt, config.adapter

    def forward(self, x: Tensor, fused: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Tokens (3B, N, width) and the fused prompt of the layer before -> the same two after this layer."""
        if not self.use_prompt:
            return self.transform(x), None
        tokens = x.shape[1]
        x = self.transform(torch.cat((x, self.prompt(fused, x.shape[0] // 3)), 1))
        return x[:, :tokens], fuse(x[:, tokens:])

    def transform(self, x: Tensor) -> Tensor:
        """Attention, MLP and adapter on (3B, N, width), whatever the tokens are."""
        x = x + self.attention(self.ln_1(x))
        y = x + self.mlp(self.ln_2(x))
        return y + self.adapter(x) if self.use_adapter else y


class Embedding(nn.Module):
    """Patches, class token, camera embedding (SIE) and positions: images to tokens."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        height, width = config.grid
        self.patches = nn.Conv2d(3, config.width, config.patch_size, config.patch_size, bias=False)
        self.class_token = nn.Parameter(torch.empty(config.width))
        self.positions = nn.Parameter(torch.empty(1 + height * width, config.width))
        if config.cameras:
            self.cameras = nn.Parameter(torch.empty(config.cameras, config.width))
        self.ln_pre = LayerNorm(config.width)
        self.use_cameras, self.camera_scale = config.sie_camera, config.sie_coe

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Images (3, B, 3, H, W) and cameras (B,) -> tokens (3B, 1 + patches, width)."""
        patches = self.patches(images.flatten(0, 1)).flatten(2).transpose(1, 2)
        class_token = self.class_token.expand(images.shape[1], -1)
        if self.use_cameras:
            class_token = class_token + self.camera_scale * self.camera(camera_ids)
        # the three streams of a sample share its camera: (3B, 1, width)
        class_token = class_token.repeat(3, 1).unsqueeze(1)
        return self.ln_pre(torch.cat((class_token, patches), 1) + self.positions)

    def camera(self, ids: Tensor) -> Tensor:
        """Rows of the camera table (B, width); a number outside the table is an unknown camera: the mean row."""
        table = torch.cat((self.cameras, self.cameras.mean(0, keepdim=True)))
        unknown = (ids < 0) | (ids >= len(self.cameras))
        return table[torch.where(unknown, len(self.cameras), ids)]


class Backbone(nn.Module):
    """The visual tower of CLIP with adapters and prompts; every token leaves through CLIP's projection."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.depth)])
        self.ln_post = LayerNorm(config.width)
        self.projection = nn.Parameter(torch.empty(config.width, config.embed_dim))
        self.head = Head(config.embed_dim, config.identities)

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Images (3, B, 3, H, W) and cameras (B,) -> tokens (3, B, 1 + patches, embed_dim), class token first."""
        x, fused = self.embedding(images, camera_ids), None
        for layer in self.layers:
            x, fused = layer(x, fused)
        return (self.ln_post(x) @ self.projection).unflatten(0, (3, -1))
