"""Hybrids in which Vim and ViT exchange tokens layer by layer: PaFusion, N-ASF, ASF, MaFormer, AdaMTF.

Numbers and letters are those of the paper's figure 3. "Released" is the wiring of the authors' code.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..parts.patch_embedding import RELEASED
from .attribute_config import AttributeConfig
from .attribute_model import Outputs
from .hybrid import Hybrid

#: Every released file holds parts of the towers a second time, under these names.
_PATCHES = {"patch_embed_vim": "vim.patch_embed", "patch_embed_vit": "vit.patch_embed"}
_LAYERS = {"vim_layers": "vim.layers", "vit_blocks": "vit.blocks"}
_NORM = {"norm": "vit.norm"}
#: Blocks of the ViT behind Vim in N-ASF, and in the other reading of its code.
_LAST, _FIRST = 4, 6
#: ViT blocks that one group of ASF stands for.
_GROUP = 3
#: Inner width of AdaMTF's adapters.
_ADAPTER = 32


class PaFusion(Hybrid):
    """(a) Parallel fusion: each ViT block receives two Vim layers' tokens, and hands the sum back to Vim."""

    kind = "pafusion"
    aliases: ClassVar = {**_PATCHES, **_LAYERS, **_NORM}

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.add_positions(self.patches)
        self.up_projs, self.down_projs = self.up(config.vit.depth), self.down(config.vit.depth)
        self.up_final = nn.Linear(self.vim.width, self.vit.width)
        self.add_pool("conv_pool", self.patches)
        self.add_heads(self.vit.width)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        a, v, residual = self.vit_patches(images), self.vim_patches(images), None
        for number, layers in self.pairs():
            a = self.vit.blocks[number](a)
            v, residual = self.vim.run_layers(v, residual, layers)
            a = a + self.up_projs[number](v)
            v = self.down_projs[number](a)
        tokens = self.conv_pool(self.vit.norm(a + self.up_final(v)))
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}


class NASF(Hybrid):
    """(b) All Vim layers, then the last ViT blocks; variant "first" takes the first six blocks instead."""

    kind = "n_asf"
    aliases: ClassVar = {"patch_embed": "vit.patch_embed", "vit_blocks": "vit.blocks"}
    variants = (RELEASED, "first")

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        # in the released files, without use
        self.pos_embed = nn.Parameter(torch.zeros(1, self.vit.tokens, self.vit.width))
        self.dim_proj = nn.Linear(self.vim.width, self.vit.width)
        self.add_pool("conv_pool", self.vit.tokens)
        self.add_heads(self.vit.width)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        x = self.dim_proj(self.vim.features(images))
        for block in self.vit.blocks[-_LAST:] if self.config.variant == RELEASED else self.vit.blocks[:_FIRST]:
            x = block(x)
        tokens = self.conv_pool(x)
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}


class ASF(Hybrid):
    """(c) Groups of one ViT block and several Vim layers, in turns, with one residual stream of Vim through all.

    The released groups of Vim layers start three layers apart and overlap; those of variant "disjoint" do not, and
    together they are all layers.
    """

    kind = "asf"
    aliases: ClassVar = {**_PATCHES, **_LAYERS, **_NORM}
    variants = (RELEASED, "disjoint")

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.add_positions(self.patches)
        self.groups = config.vit.depth // _GROUP
        self.down_projs, self.up_projs = self.down(self.groups), self.up(self.groups)
        self.add_pool("conv_pool", self.patches)
        self.add_heads(self.vit.width)

    def group_layers(self, number: int) -> slice:
        """Return the Vim layers of a group."""
        depth = self.config.vim.depth
        if self.config.variant == RELEASED:
            return slice(_GROUP * number, _GROUP * number + depth // _GROUP)
        return slice(depth * number // self.groups, depth * (number + 1) // self.groups)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        x, residual = self.vit_patches(images), None
        for number in range(self.groups):
            hidden = self.down_projs[number](self.vit.blocks[_GROUP * number](x))
            hidden, residual = self.vim.run_layers(hidden, residual, self.group_layers(number))
            x = self.up_projs[number](hidden)
        tokens = self.conv_pool(self.vit.norm(self.vit.blocks[-1](x)))
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}


class MaFormer(Hybrid):
    """(d) A frozen ViT with one Vim layer beside each block, and one residual stream of Vim through all.

    Its positions are new and frozen at zero in the release; variant "pretrained" starts them as the ViT's own.
    """

    kind = "maformer"
    aliases: ClassVar = {"cls_token": "vit.cls_token", **_PATCHES, **_LAYERS, **_NORM}
    variants = (RELEASED, "pretrained")
    teacher = ("vit.", "pos_embed_vit")
    trained = ("vit.cls_token",)

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        # in the released files, without use
        self.vis_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.add_positions(self.vit.tokens)
        self.down_projs, self.up_projs = self.down(config.vit.depth), self.up(config.vit.depth)
        self.add_pool("conv_vis", self.vit.tokens)
        self.add_heads(self.vit.width)

    def initialize_copies(self) -> None:
        """Start the positions as the pretrained ViT's, in variant "pretrained"."""
        if self.config.variant != RELEASED:
            with torch.no_grad():
                self.pos_embed_vit.copy_(self.vit.pos_embed)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        x, residual = self.vit.embed_patches(images) + self.pos_embed_vit, None
        for number, block in enumerate(self.vit.blocks[:-1]):
            mixed, residual = self.vim.layers[2 * number](self.down_projs[number](x), residual)
            x = block(x) + self.up_projs[number](mixed)
        tokens = self.conv_vis(x)
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}


class AdaMTF(Hybrid):
    """(f) Parallel towers with a common adapter behind each step."""

    kind = "adamtf"
    aliases: ClassVar = {**_PATCHES, **_LAYERS}

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.add_positions(self.patches)
        both = self.vit.width + self.vim.width
        widths = ((both, _ADAPTER), (_ADAPTER, _ADAPTER), (_ADAPTER, both))
        self.adpeters = nn.ModuleList(
            [nn.Sequential(*(nn.Linear(*pair) for pair in widths)) for _ in range(config.vit.depth)]
        )
        self.up_final = nn.Linear(self.vim.width, self.vit.width)
        self.add_pool("conv_pool", self.patches)
        self.add_heads(self.vit.width)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of images (B, 3, H, W). Returns them by name."""
        a, v, residual = self.vit_patches(images), self.vim_patches(images), None
        for number, layers in self.pairs():
            a = self.vit.blocks[number](a)
            v, residual = self.vim.run_layers(v, residual, layers)
            of_a, of_v = self.adpeters[number](torch.cat((a, v), -1)).split([self.vit.width, self.vim.width], -1)
            a, v = a + of_a, v + of_v
        tokens = self.conv_pool(a + self.up_final(v))
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens}
