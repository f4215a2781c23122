"""Base of the eight hybrids of Vim and ViT (paper section "Hybrid Mamba-Transformer", figure 3)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ....errors import InputError
from ..parts.attribute_heads import TokenMix
from .attribute_config import AttributeConfig
from .attribute_model import AttributeModel
from .image_vit import ViT
from .tower import check_images
from .vim import Vim


class Hybrid(AttributeModel):
    """Both towers, and the linear layers between their widths.

    Names are those of the released checkpoints, in which every model also has a projection `vim_proj`.
    """

    conv_pool: TokenMix
    conv_vis: TokenMix
    conv_pool_vim: TokenMix

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        if config.vim.depth != 2 * config.vit.depth or config.width != config.vit.width:
            raise InputError(
                "A hybrid has two Vim layers for each ViT block and the ViT's width, not "
                f"{config.vim.depth} layers for {config.vit.depth} blocks and width {config.width} beside "
                f"{config.vit.width}."
            )
        self.vim, self.vit = Vim(config.vim), ViT(config.vit)
        self.vim_proj = nn.Linear(config.vim.width, config.width)
        self.patches = config.vit.patches

    def add_positions(self, tokens: int) -> None:
        """Add new positions for both towers; those of their pretraining are not used."""
        self.pos_embed_vit = nn.Parameter(torch.zeros(1, tokens, self.vit.width))
        self.pos_embed_vim = nn.Parameter(torch.zeros(1, tokens, self.vim.width))

    def add_pool(self, name: str, tokens: int) -> None:
        """Add a mixture of tokens to one for each attribute."""
        self.add_module(name, TokenMix(tokens, self.config.attributes))

    def up(self, count: int) -> nn.ModuleList:
        """Return `count` Linears from Vim's width to the ViT's."""
        return nn.ModuleList([nn.Linear(self.vim.width, self.vit.width) for _ in range(count)])

    def down(self, count: int) -> nn.ModuleList:
        """Return `count` Linears from the ViT's width to Vim's."""
        return nn.ModuleList([nn.Linear(self.vit.width, self.vim.width) for _ in range(count)])

    def vit_patches(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W) for the ViT, with new positions. Returns (B, patches, width)."""
        check_images(images, self.config.image_size)
        return self.vit.patch_embed(images) + self.pos_embed_vit

    def vim_patches(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W) for Vim, with new positions. Returns (B, patches, width)."""
        check_images(images, self.config.image_size)
        return self.vim.patch_embed(images) + self.pos_embed_vim

    def pairs(self) -> Iterable[tuple[int, slice]]:
        """Yield (number of a ViT block, the two Vim layers beside it) for as many blocks as Vim has layers for."""
        return ((number, slice(2 * number, 2 * number + 2)) for number in range(self.config.vim.depth // 2))
