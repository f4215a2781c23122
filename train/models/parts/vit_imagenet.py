"""ViT trained on ImageNet in place of CLIP (paper table 9); layers, adapters and prompts are the same.

The authors' code concatenates prompts to this tower along the wrong axis, so that they never affect an image; here they
do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..mambapro.model_config import MambaProConfig
from .vit import Backbone, Embedding, Tower

IMAGENET = Tower(1e-6, nn.GELU)


class ImageNetEmbedding(Embedding):
    """Embedding with patch bias, without LayerNorm before the layers, and with the camera embedding on every token.

    The camera table belongs to the tower and is frozen with it, as in the authors' code.
    """

    table = "frozen_cameras"

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__(config)
        self.patches = nn.Conv2d(3, config.width, config.patch_size, config.patch_size)
        self.ln_pre = nn.Identity()

    def forward(self, images: Tensor, camera_ids: Tensor) -> Tensor:
        """Embed images (3, B, 3, H, W) and cameras (B,). Returns tokens (3B, 1 + patches, width)."""
        class_token = self.class_token.expand(3 * images.shape[1], 1, -1)
        tokens = torch.cat((class_token, self.patch_tokens(images)), 1) + self.positions
        if not self.use_cameras:
            return tokens
        # the three streams of a sample share its camera: (3B, 1, width)
        return tokens + self.camera_scale * self.camera(camera_ids).repeat(3, 1).unsqueeze(1)


class ImageNetBackbone(Backbone):
    """ViT-B/16 in timm's form; without projection, so that a token of the feature has the tower's width."""

    tower = IMAGENET
    embedding_type = ImageNetEmbedding

    def add_projection(self, config: MambaProConfig) -> None:
        """Add nothing: this tower has no projection."""

    def project(self, x: Tensor) -> Tensor:
        """Normalize the tokens (3B, N, width). Returns (3B, N, width)."""
        return self.ln_post(x)
