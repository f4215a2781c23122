"""Vim (https://arxiv.org/abs/2401.09417): patches, a class token in their middle, Mamba layers with two directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parts.mamba_mixer import MambaBlock, RMSNorm
from ..parts.patch_embedding import PatchEmbedding, insert_token
from ..parts.vit import DropPath
from .attribute_config import VimConfig
from .tower import Tower, check_images, drop_rates

State = tuple[Tensor, Tensor | None]


class Vim(Tower):
    """Vim with mixers of the second kind ("bimamba v2"), without rotary positions."""

    kind = "vim"
    config_type = VimConfig
    head_name = "head"
    switches = ("position_resize",)

    class_row: int

    def __init__(self, config: VimConfig) -> None:
        super().__init__(config)
        self.width, self.tokens, self.class_row = config.width, config.patches + 1, config.patches // 2
        self.patch_embed = PatchEmbedding(config.patch_size, config.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, self.tokens, config.width))
        # the first layer has no stream to add to, and the second one the rate 0 again
        rates = [0.0, *drop_rates(config.drop_path, config.depth)][: config.depth]
        self.layers = nn.ModuleList([MambaBlock(config.width, config.state, True, rate) for rate in rates])
        self.drop_path = DropPath(config.drop_path)
        self.norm_f = RMSNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (B, 3, H, W), normalized. Returns logits (B, classes)."""
        return self.head(self.features(images)[:, self.class_row])

    def features(self, images: Tensor) -> Tensor:
        """Compute the normalized tokens of images (B, 3, H, W). Returns (B, 1 + patches, width), class token inside."""
        return self.finish(*self.run_layers(self.embed(images, self.class_row)))

    def embed(self, images: Tensor, row: int) -> Tensor:
        """Embed images (B, 3, H, W) with the class token at a row. Returns (B, 1 + patches, width)."""
        check_images(images, self.config.image_size)
        return insert_token(self.patch_embed(images), self.cls_token, row) + self.pos_embed

    def run_layers(self, hidden: Tensor, residual: Tensor | None = None, layers: slice = slice(None)) -> State:
        """Run some of the layers on hidden tokens (B, N, width) and the residual stream.

        Returns:
            hidden tokens and residual stream, each (B, N, width).
        """
        for layer in self.layers[layers]:
            hidden, residual = layer(hidden, residual)
        return hidden, residual

    def finish(self, hidden: Tensor, residual: Tensor | None) -> Tensor:
        """Add the last hidden tokens to the residual stream and normalize. Returns (B, N, width)."""
        hidden = self.drop_path(hidden)
        return self.norm_f(hidden if residual is None else residual + hidden)
