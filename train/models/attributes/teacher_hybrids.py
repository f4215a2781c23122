"""Hybrids with a trained ViT as a teacher or partner that stays frozen: MaHDFT, KDTM, MaKDF.

Numbers and letters are those of the paper's figure 3. "Released" is the wiring of the authors' code.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..parts.attribute_heads import TokenMix
from ..parts.mamba_mixer import MambaBlock
from ..parts.patch_embedding import RELEASED
from .attribute_config import AttributeConfig
from .attribute_model import Outputs
from .hybrid import Hybrid

#: Tokens that MaHDFT makes of each ViT block's, and the Vim layers that read them.
_POOLED, _LAST_LAYERS = 49, 4
_TOKENS = ("vit.cls_token", "vit.pos_embed")


class TaughtHybrid(Hybrid):
    """Base: a ViT with its head as trained for the attributes, and Vim with a head of its own."""

    teacher = ("vit.", "conv_vis.", "weight_layer.", "bn.")
    #: width of Vim's head, by the config
    common_width: ClassVar[bool] = False

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.add_pool("conv_vis", self.vit.tokens)
        self.add_heads(self.vit.width)
        self.add_pool("conv_pool_vim", self.vim.tokens)
        self.add_heads(config.width if self.common_width else self.vim.width, "_vim")

    def vit_outputs(self, x: Tensor) -> Outputs:
        """Compute the ViT's logits and head tokens from its last tokens (B, 1 + patches, width). Returns by name."""
        tokens = self.conv_vis(x)
        return {"logits_vit": self.attribute_logits(tokens), "head_tokens": tokens}

    def vim_outputs(self, x: Tensor) -> Outputs:
        """Compute Vim's logits and head tokens from its last tokens (B, N, width). Returns them by name."""
        tokens = self.conv_pool_vim(x)
        return {"logits_vim": self.attribute_logits(tokens, "_vim"), "head_tokens_vim": tokens}

    def taught(self, x: Tensor) -> Tensor:
        """Cut a teacher's tensor off from the gradients, but for the authors' way. Returns the same values."""
        return x if self.config.teacher == RELEASED else x.detach()


class MaHDFT(TaughtHybrid):
    """(e) Vim's last layers over pooled tokens of all ViT blocks; deployed is the mean of both branches' logits."""

    kind = "mahdft"
    accidents = _TOKENS
    aliases: ClassVar = {
        "cls_token": "vit.cls_token",
        "norm": "vit.norm",
        "patch_embed": "vit.patch_embed",
        "pos_embed": "vit.pos_embed",
        "vit_blocks": "vit.blocks",
    }

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        # in the released files, without use
        self.vis_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pools = nn.ModuleList([TokenMix(self.vit.tokens, _POOLED) for _ in range(config.vit.depth)])
        self.dim_proj = nn.Linear(self.vit.width, self.vim.width)
        self.final_pool = nn.ModuleList([TokenMix(_POOLED * (config.vit.depth - 1), self.vim.tokens)])

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits and head tokens of both branches from images (B, 3, H, W). Returns them by name."""
        behind = self.vit.block_outputs(images)[1:]
        pooled = [pool(self.taught(x)) for pool, x in zip(self.pools, behind, strict=False)]
        x = self.dim_proj(torch.cat(pooled, 1))
        x = self.vim.finish(*self.vim.run_layers(x, layers=slice(-_LAST_LAYERS, None)))
        outputs = {**self.vit_outputs(behind[-1]), **self.vim_outputs(self.final_pool[0](x))}
        return {"logits": (outputs["logits_vit"] + outputs["logits_vim"]) / 2, **outputs}


class KDTM(TaughtHybrid):
    """(g) Vim with the ViT's logits as its targets; deployed is Vim alone."""

    kind = "kdtm"
    common_width = True

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        # in the released files, without use
        self.vis_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.vim_vis_embed = nn.Parameter(torch.zeros(1, 1, config.width))

    def logits(self, images: Tensor) -> Tensor:
        """Compute the logits of the student for images (B, 3, H, W). Returns (B, attributes)."""
        return self.student(images)["logits_vim"]

    def student(self, images: Tensor) -> Outputs:
        """Compute the student's logits and head tokens for images (B, 3, H, W). Returns them by name."""
        return self.vim_outputs(self.vim_proj(self.vim.features(images)))

    def outputs(self, images: Tensor) -> Outputs:
        """Compute both models' logits and head tokens, and the distillation loss (), from images (B, 3, H, W)."""
        outputs = {**self.vit_outputs(self.vit.features(images)), **self.student(images)}
        loss = F.mse_loss(outputs["logits_vim"], self.taught(outputs["logits_vit"]))
        return {"logits": outputs["logits_vim"], "kd_loss": loss, **outputs}


class MaKDF(TaughtHybrid):
    """(h) Vim with the ViT's patch tokens as its targets, block by block; deployed is Vim alone.

    Vim's class token stands in front, although its positions were trained with one in the middle. Variant "mid" runs
    the extra layer between, whose result the authors' code throws away.
    """

    kind = "makdf"
    accidents = _TOKENS
    aliases: ClassVar = {
        "cls_token": "vit.cls_token",
        "cls_token_vim": "vim.cls_token",
        "patch_embed_vim": "vim.patch_embed",
        "patch_embed_vit": "vit.patch_embed",
        "pos_embed": "vit.pos_embed",
        "pos_embed_vim": "vim.pos_embed",
        "vim_layers": "vim.layers",
        "vit_blocks": "vit.blocks",
    }
    variants = (RELEASED, "mid")

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        steps, sizes = config.vit.depth, config.vim
        self.up_adpeters, self.down_adpeters = self.up(steps), self.down(steps)
        self.vim_mid = nn.ModuleList([MambaBlock(sizes.width, sizes.state, True) for _ in range(steps - 1)])

    def initialize_copies(self) -> None:
        """Start the layers between as copies of Vim's even ones."""
        for own, layer in zip(self.vim_mid, self.vim.layers[::2], strict=False):
            own.load_state_dict(layer.state_dict())

    def logits(self, images: Tensor) -> Tensor:
        """Compute the logits of the student for images (B, 3, H, W). Returns (B, attributes)."""
        return self.student(images)[0]["logits_vim"]

    def student(self, images: Tensor) -> tuple[Outputs, list[Tensor]]:
        """Run Vim on images (B, 3, H, W).

        Returns:
            its logits and head tokens by name, and its tokens (B, 1 + patches, ViT's width) at every step.
        """
        v, residual = self.vim.embed(images, 0), None
        steps = []
        for number in range(self.config.vit.depth - 1):
            v, residual = self.vim.run_layers(v, residual, slice(2 * number, 2 * number + 2))
            between = v if self.config.variant == RELEASED else self.vim_mid[number](v, residual)[0]
            steps.append(self.up_adpeters[number](between))
            v = v + self.down_adpeters[number](steps[-1])
        return self.vim_outputs(v), steps

    def outputs(self, images: Tensor) -> Outputs:
        """Compute both models' logits and head tokens, and the distillation loss (), from images (B, 3, H, W)."""
        behind = self.vit.block_outputs(images)[1:]
        student, steps = self.student(images)
        losses = [F.mse_loss(step[:, 1:], self.taught(x)[:, 1:]) for x, step in zip(behind, steps, strict=True)]
        outputs = {**self.vit_outputs(behind[-1]), **student, "kd_loss": torch.stack(losses).mean()}
        return {"logits": outputs["logits_vim"], **outputs}
