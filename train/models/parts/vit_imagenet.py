"""A ViT trained on ImageNet in CLIP's place (paper table 9); the layers, adapters and prompts are the same.

The authors' code joins prompts to this tower on the wrong axis, so that they never meet an image; here they do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..mambapro.model_config import MambaProConfig
from .vit import Backbone, Embedding, Tower

IMAGENET = Tower(1e-6, nn.GELU)


class ImageNetEmbedding(Embedding):
    """Patches with a bias, no LayerNorm before the layers, and the camera embedding on every token.

    The camera table belongs to the tower: it is frozen with it, as in the authors' code.
    """

    table = "frozen_cameras"

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.patches = nn.Conv2d(3, config.width, config.patch_size, config.patch_size)
        self.ln_pre = nn.Identity()

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Images (3, B, 3, H, W) and cameras (B,) -> tokens (3B, 1 + patches, width)."""
        class_token = self.class_token.expand(3 * images.shape[1], 1, -1)
        tokens = torch.cat((class_token, self.patch_tokens(images)), 1) + self.positions
        if not self.use_cameras:
            return tokens
        # the three streams of a sample share its camera: (3B, 1, width)
        return tokens + self.camera_scale * self.camera(camera_ids).repeat(3, 1).unsqueeze(1)


class ImageNetBackbone(Backbone):
    """ViT-B/16 as timm has it; without projection, so that a token of the feature has the tower's width."""

    tower = IMAGENET
    embedding_type = ImageNetEmbedding

    def add_projection(self, config: MambaProConfig) -> None:
        """None."""

    def project(self, x: Tensor) -> Tensor:
        """Tokens (3B, N, width) -> the same, normalised."""
        return self.ln_post(x)
