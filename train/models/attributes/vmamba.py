"""VMamba (https://arxiv.org/abs/2401.10166), first generation ("v0") and later ("v2"): four stages of 2D scans.

Maps are channels-last everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..parts.cross_scan import SS2D
from ..parts.layers import LayerNorm
from ..parts.vit import DropPath
from ..parts.vit_block import MLP
from .attribute_config import VMambaConfig
from .tower import Tower, check_images, drop_rates


class Permute(nn.Module):
    """Reordered axes of a map."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        """Reorder the axes of a map. Returns it with the axes in the order of the module."""
        return x.permute(*self.axes)


def to_last() -> Permute:
    """Return a module from (B, C, H, W) to (B, H, W, C)."""
    return Permute(0, 2, 3, 1)


def to_first() -> Permute:
    """Return a module from (B, H, W, C) to (B, C, H, W)."""
    return Permute(0, 3, 1, 2)


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)


def patches(form: str, width: int) -> nn.Sequential:
    """Return the patch embedding from (B, 3, H, W) to (B, H / 4, W / 4, width)."""
    if form == "v0":
        return nn.Sequential(nn.Conv2d(3, width, 4, stride=4), to_last(), LayerNorm(width))
    half = width // 2
    first = (_halving(3, half), to_last(), LayerNorm(half), to_first(), nn.GELU())
    return nn.Sequential(*first, _halving(half, width), to_last(), LayerNorm(width))


class PatchMerging(nn.Module):
    """Four neighbouring pixels joined, normalized and projected to twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge the pixels of (B, H, W, C); odd sides are padded at their end. Returns (B, H / 2, W / 2, 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # order of the four: (row, column) = (0, 0), (1, 0), (0, 1), (1, 1)
        x = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], -1)
        return self.reduction(self.norm(x))


def downsampling(form: str, width: int) -> nn.Module:
    """Return the module between two stages from (B, H, W, C) to (B, H / 2, W / 2, 2 C)."""
    if form == "v0":
        return PatchMerging(width)
    return nn.Sequential(to_first(), _halving(width, 2 * width), to_last(), LayerNorm(2 * width))


class VSSBlock(nn.Module):
    """A 2D scan, and in form "v2" an MLP, each behind a LayerNorm and in front of a residual sum."""

    def __init__(self, config: VMambaConfig, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.op = SS2D(width, config.state, config.ratio, gated=config.form == "v0")
        self.drop_path = DropPath(drop_path)
        self.has_mlp = config.form == "v2"
        if self.has_mlp:
            self.norm2 = LayerNorm(width)
            self.mlp = MLP(width, config.mlp_ratio * width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map (B, H, W, width). Returns (B, H, W, width)."""
        x = x + self.drop_path(self.op(self.norm(x)))
        return x + self.drop_path(self.mlp(self.norm2(x))) if self.has_mlp else x


class Stage(nn.Module):
    """Blocks of one width, then the step to the next; the last stage has none."""

    def __init__(self, config: VMambaConfig, width: int, rates: list[float], last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([VSSBlock(config, width, rate) for rate in rates])
        self.downsample = nn.Identity() if last else downsampling(config.form, width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map (B, H, W, C). Returns (B, H / 2, W / 2, 2 C), of the last stage (B, H, W, C)."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


class Classifier(nn.Module):
    """LayerNorm, mean over the map, Linear."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify a map (B, H, W, width). Returns logits (B, classes)."""
        return self.head(self.norm(x).mean((1, 2)))


class VMamba(Tower):
    """VMamba with the names of its later code; files of the first generation are renamed."""

    kind = "vmamba"
    config_type = VMambaConfig
    head_name = "classifier.head"
    renames = (
        ("patch_embed.proj.", "patch_embed.0."),
        ("patch_embed.norm.", "patch_embed.2."),
        (".ln_1.", ".norm."),
        (".self_attention.", ".op."),
        ("norm.", "classifier.norm."),
        ("head.", "classifier.head."),
    )

    def __init__(self, config: VMambaConfig) -> None:
        super().__init__(config)
        self.width, self.tokens = config.last_width, config.grid[0] * config.grid[1]
        self.patch_embed = patches(config.form, config.width)
        rates = drop_rates(config.drop_path, sum(config.depths))
        self.layers = nn.ModuleList()
        for number, depth in enumerate(config.depths):
            own, rates = rates[:depth], rates[depth:]
            last = number == len(config.depths) - 1
            self.layers.append(Stage(config, config.width * 2**number, own, last))
        self.classifier = Classifier(config.last_width, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (B, 3, H, W), normalized. Returns logits (B, classes)."""
        return self.classifier(self.map(images))

    def map(self, images: Tensor) -> Tensor:
        """Compute the map behind the last stage of images (B, 3, H, W). Returns (B, rows, columns, width)."""
        check_images(images, self.config.image_size)
        x = self.patch_embed(images)
        for stage in self.layers:
            x = stage(x)
        return x

    def features(self, images: Tensor) -> Tensor:
        """Compute the tokens of images (B, 3, H, W). Returns (B, rows * columns, width), row-major."""
        return self.map(images).flatten(1, 2)
