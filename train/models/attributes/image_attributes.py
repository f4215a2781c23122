"""Attribute models of images alone: a tower's tokens, mixed to one for each attribute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....errors import InputError
from ..parts.attribute_heads import TokenMix
from .attribute_config import AttributeConfig
from .attribute_model import AttributeModel, Outputs
from .image_vit import ViT
from .tower import Tower
from .vim import Vim
from .vmamba import VMamba

#: Towers by the config's `backbone`, and the name of the projection of their tokens; a ViT has the common width.
TOWERS: dict[str, tuple[type[Tower], str | None]] = {
    "vim": (Vim, "vim_proj"),
    "vmamba": (VMamba, "vm_proj"),
    "vit": (ViT, None),
}


class VisualTokens(AttributeModel):
    """Base of models with one tower: its tokens in the common width, with a learned type embedding."""

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        tower, projection = TOWERS[config.backbone]
        self.vis_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.add_module(config.backbone, tower(getattr(config, config.backbone)))
        if projection is None and self.tower.width != config.width:
            raise InputError(f"width must be the {config.backbone}'s {self.tower.width}, not {config.width}.")
        if projection:
            self.add_module(projection, nn.Linear(self.tower.width, config.width))

    @property
    def tower(self) -> Tower:
        """Tower of the images."""
        return getattr(self, self.config.backbone)

    def visual_tokens(self, images: Tensor) -> Tensor:
        """Compute the visual tokens of images (B, 3, H, W). Returns (B, tokens, width)."""
        x = self.tower.features(images)
        if projection := TOWERS[self.config.backbone][1]:
            x = getattr(self, projection)(x)
        return x + self.vis_embed


class ImageAttributes(VisualTokens):
    """Image-only model."""

    kind = "image_attributes"

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.conv_vis = TokenMix(self.tower.tokens, config.attributes)
        self.add_heads(config.width)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        tokens = self.conv_vis(self.visual_tokens(images))
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}
