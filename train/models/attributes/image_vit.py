"""ViT (https://arxiv.org/abs/2010.11929) in timm's form: the baseline, and the partner of Vim in the hybrids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parts.layers import LayerNorm
from ..parts.patch_embedding import PatchEmbedding, insert_token
from ..parts.vit_block import EPSILON, ViTBlock
from .attribute_config import ViTConfig
from .tower import Tower, check_images, drop_rates


class ViT(Tower):
    """ViT with the class token in front.

    The paper's attribute models leave out the last block and the last LayerNorm; `features` is without them.
    """

    kind = "vit"
    config_type = ViTConfig
    head_name = "fc"
    # timm's classifier has another name than the authors'
    renames = (("head.", "fc."),)

    class_row: int

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.width, self.tokens, self.class_row = config.width, config.patches + 1, 0
        self.patch_embed = PatchEmbedding(config.patch_size, config.width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, self.tokens, config.width))
        rates = drop_rates(config.drop_path, config.depth)
        self.blocks = nn.ModuleList([ViTBlock(config.width, config.heads, config.mlp_ratio, rate) for rate in rates])
        self.norm = LayerNorm(config.width, EPSILON)
        self.fc = nn.Linear(config.width, config.classes)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (B, 3, H, W), normalized, with all blocks. Returns logits (B, classes)."""
        x = self.blocks[-1](self.features(images))
        return self.fc(self.norm(x)[:, 0])

    def features(self, images: Tensor) -> Tensor:
        """Compute the tokens of images (B, 3, H, W) behind all blocks but the last. Returns (B, 1 + patches, width)."""
        return self.block_outputs(images)[-1]

    def block_outputs(self, images: Tensor) -> list[Tensor]:
        """Compute the tokens of images (B, 3, H, W) behind the embedding and every block but the last.

        Returns:
            depth tensors (B, 1 + patches, width).
        """
        outputs = [self.embed(images)]
        for block in self.blocks[:-1]:
            outputs.append(block(outputs[-1]))
        return outputs

    def embed(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W). Returns (B, 1 + patches, width), class token first."""
        return self.embed_patches(images) + self.pos_embed

    def embed_patches(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W) without positions. Returns (B, 1 + patches, width), class token first."""
        check_images(images, self.config.image_size)
        return insert_token(self.patch_embed(images), self.cls_token, 0)
