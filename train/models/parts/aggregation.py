"""Mamba Aggregation (MA): scans inside each modality, then across all three (paper eq. 13 to 19)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....runtime.data.modalities import MODALITIES
from ..mambapro.model_config import MambaProConfig
from .layers import LayerNorm
from .mamba import DIRECTIONS, ScanGroup, StateSpace
from .mixers import ConcatMixer, InterModalityTransformer, IntraModalityTransformer, SumMixer

#: Name of the scan over all modalities.
JOINT = "all"


class ModalityConv(nn.Module):
    """Depthwise 3x3 convolution on the patch grid, BatchNorm, SiLU."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the patch grid of (B, L, channels); L = grid height * grid width, row-major.

        Returns:
            (B, L, channels).
        """
        x = x.transpose(1, 2).unflatten(2, self.grid)
        return nn.functional.silu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)


class ModalityScan(nn.Module):
    """One half of an MA block: project, convolve, scan, gate, project back, add.

    Subclasses define the sequences in which the scans read the three modalities.
    """

    #: Names of the scans: one for each sequence.
    sequences: tuple[str, ...]

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        dim, channels = config.embed_dim, config.scan_channels
        directions = DIRECTIONS if config.mamba_bi else DIRECTIONS[:1]
        self.in_proj = nn.ModuleDict({m: nn.Linear(dim, 2 * channels, bias=False) for m in MODALITIES})
        self.conv = nn.ModuleDict({m: ModalityConv(channels, config.grid) for m in MODALITIES})
        self.scans = ScanGroup(self.sequences, directions, lambda: StateSpace(channels, config.state, config.dt_rank))
        self.out_proj = nn.Linear(channels, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens (3, B, L, dim). Returns (3, B, L, dim)."""
        pairs = [self.in_proj[m](x).chunk(2, -1) for m, x in zip(MODALITIES, tokens, strict=True)]
        inputs = [self.conv[m](x) for m, (x, _) in zip(MODALITIES, pairs, strict=True)]
        gates = [gate for _, gate in pairs]
        y = torch.stack(self.scan(inputs)) * nn.functional.silu(torch.stack(gates))
        return tokens + self.out_proj(y)

    def scan(self, inputs: list[Tensor]) -> list[Tensor]:
        """Scan three inputs (B, L, channels). Returns three outputs (B, L, channels)."""
        raise NotImplementedError


class IntraModalityScan(ModalityScan):
    """One scan for each modality's tokens; the three run as one grouped call."""

    sequences = MODALITIES

    def scan(self, inputs: list[Tensor]) -> list[Tensor]:
        """Scan each modality (B, L, channels) on its own."""
        return self.scans(inputs)


class InterModalityScan(ModalityScan):
    """One causal scan over the concatenated rgb, nir, tir tokens: the only part where modalities interact."""

    sequences = (JOINT,)

    def scan(self, inputs: list[Tensor]) -> list[Tensor]:
        """Scan the three modalities (B, L, channels) as one sequence."""
        return list(self.scans([torch.cat(inputs, 1)])[0].chunk(3, 1))


#: Parts of a block by `aggregation_kind`, in execution order (paper figure 3, tables 6 and 11).
AGGREGATIONS: dict[str, dict[str, Callable[[MambaProConfig], nn.Module]]] = {
    "mamba": {"intra": IntraModalityScan, "inter": InterModalityScan},
    "intra": {"intra": IntraModalityScan},
    "inter": {"inter": InterModalityScan},
    "sum": {"sum": SumMixer},
    "concat": {"concat": ConcatMixer},
    "transformer": {"inter": InterModalityTransformer},
    "ma_transformer": {"intra": IntraModalityTransformer, "inter": InterModalityTransformer},
}
#: These make the tokens of the modalities equal, so a second block would have no effect.
_ONCE = ("sum", "concat")


def block_count(config: MambaProConfig) -> int:
    """Return the number of blocks of the aggregation."""
    return 1 if config.aggregation_kind in _ONCE else config.aggregation_depth


def half_names(config: MambaProConfig) -> list[str]:
    """Return the names of the blocks' halves inside the aggregation, in execution order."""
    halves = AGGREGATIONS[config.aggregation_kind]
    return [f"blocks.{block}.{half}" for block in range(block_count(config)) for half in halves]


class Reduction(nn.Module):
    """Linear reduction of a modality's concatenated class token and mean patch token to one feature."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = LayerNorm(2 * dim)
        self.linear = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Reduce (B, 2 dim). Returns (B, dim)."""
        return self.linear(self.norm(x))


class Aggregation(nn.Module):
    """Blocks over the patch tokens (published: MA, of scans), then one feature from all modalities."""

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        halves = AGGREGATIONS[config.aggregation_kind]
        blocks = [{name: half(config) for name, half in halves.items()} for _ in range(block_count(config))]
        self.blocks = nn.ModuleList([nn.ModuleDict(block) for block in blocks])
        self.reduction = nn.ModuleDict({m: Reduction(config.embed_dim) for m in MODALITIES})

    @property
    def halves(self) -> list[nn.Module]:
        """All parts of all blocks in execution order; published: intra, inter, intra, inter."""
        return [half for block in self.blocks for half in block.children()]

    def forward(self, tokens: Tensor) -> Tensor:
        """Fuse backbone tokens (3, B, 1 + L, dim). Returns feature (B, 3 dim)."""
        patches = tokens[:, :, 1:]
        for half in self.halves:
            patches = half(patches)
        return self.reduce(tokens[:, :, 0], patches)

    def reduce(self, class_tokens: Tensor, patches: Tensor) -> Tensor:
        """Reduce class tokens (3, B, dim) and patches (3, B, L, dim), in float32 or wider.

        Returns:
            feature (B, 3 dim).
        """
        pairs = torch.cat((class_tokens, patches.to(class_tokens.dtype).mean(2)), -1)
        return torch.cat([self.reduction[m](x) for m, x in zip(MODALITIES, pairs, strict=True)], -1)
