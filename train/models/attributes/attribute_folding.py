"""Folded modules of the attribute models for inference: constants of the scans, heads with their BatchNorm."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from ..folding import Rules
from ..parts.attribute_heads import AttributeLinears, attribute_products
from ..parts.cross_scan import SS2D
from ..parts.mamba_mixer import MambaMixer, ScanConstants


class FoldedMixer(MambaMixer):
    """Mixer whose scan constants are stored, and whose directions share one convolution."""

    A: Tensor
    D: Tensor
    step_bias: Tensor
    taps: Tensor
    taps_bias: Tensor

    def __init__(self, mixer: MambaMixer) -> None:
        nn.Module.__init__(self)
        self.rank, self.state, self.bidirectional = mixer.rank, mixer.state, mixer.bidirectional
        for name, child in mixer.named_children():
            if not name.startswith("conv1d"):
                self.add_module(name, child)
        for name, value in mixer.constants()._asdict().items():
            self.register_buffer(name, value.detach())

    def constants(self) -> ScanConstants:
        """Return the stored constants."""
        return ScanConstants(self.A, self.D, self.step_bias, self.taps, self.taps_bias)


class FoldedSS2D(SS2D):
    """2D scan whose constants are stored; the projection of its four directions is one Linear."""

    A: Tensor
    step_bias: Tensor

    def __init__(self, scan: SS2D) -> None:
        nn.Module.__init__(self)
        self.state, self.gated = scan.state, scan.gated
        for name, child in scan.named_children():
            self.add_module(name, child)
        weight = scan.x_proj_weight.flatten(0, 1)
        self.x_proj = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.x_proj.weight = nn.Parameter(weight, requires_grad=False)
        self.dt_projs_weight, self.Ds = scan.dt_projs_weight, scan.Ds
        A, bias = scan.constants()
        self.register_buffer("A", A.detach())
        self.register_buffer("step_bias", bias.detach())

    def constants(self) -> tuple[Tensor, Tensor]:
        """Return the stored constants."""
        return self.A, self.step_bias

    def project(self, x: Tensor) -> Tensor:
        """Project a map for all directions."""
        return self.x_proj(x)


class FoldedHeads(nn.Module):
    """Linears of all attributes as one matrix, with the BatchNorm of their logits."""

    weight: Tensor
    bias: Tensor

    def __init__(self, linears: AttributeLinears, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        weight, bias = linears.stacked()
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale = norm.weight / (variance + norm.eps).sqrt()
        self.register_buffer("weight", (weight * scale[:, None]).detach())
        self.register_buffer("bias", ((bias - mean) * scale + norm.bias).detach())

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logit of each attribute's token, x (B, attributes, width). Returns (B, attributes)."""
        return attribute_products(x, self.weight) + self.bias


FOLDED: Rules = {MambaMixer: FoldedMixer, SS2D: FoldedSS2D}


def fold_heads(network: nn.Module, suffixes: tuple[str, ...]) -> None:
    """Fold the BatchNorm of each head into its matrix, in place."""
    for suffix in suffixes:
        if isinstance(linears := getattr(network, f"weight_layer{suffix}", None), AttributeLinears):
            norm = getattr(network, f"bn{suffix}")
            setattr(network, f"weight_layer{suffix}", FoldedHeads(linears, norm))
            setattr(network, f"bn{suffix}", nn.Identity())
