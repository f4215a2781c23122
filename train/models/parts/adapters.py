"""Adapters: trainable additions to a frozen layer, and their positions in it (paper figure 2 a, tables 5 and 8).

The two positions follow the attention and the MLP (FFN) of a layer. At each of them a `Join` combines adapter and part;
the layer adds the part's input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..mambapro.model_config import MambaProConfig
from .layers import Bottleneck

#: (adapter, input of the layer's part, output of the part) -> what is added to the input.
Join = Callable[[Any, Tensor, Tensor], Tensor]


def no_adapter(adapter: nn.Module | None, inputs: Tensor, output: Tensor) -> Tensor:
    """Return the part's output without an adapter."""
    return output


def parallel(adapter: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
    """Add the adapter's output for the part's input, taken before its LayerNorm (parallel; paper eq. 1 to 3)."""
    return output + adapter(inputs)


def serial(adapter: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
    """Add the adapter's output for the part's output (serial).

    The paper only says "behind". The skip connection around the adapter is ours, after Houlsby et al. 2019
    (https://arxiv.org/abs/1902.00751).
    """
    return output + adapter(output)


#: Position -> joins after attention (MHSA) and after the MLP (FFN).
JOINS: dict[str, tuple[Join, Join]] = {
    "beside_ffn": (no_adapter, parallel),
    "behind_ffn": (no_adapter, serial),
    "beside_mhsa": (parallel, no_adapter),
    "behind_mhsa": (serial, no_adapter),
}
UNUSED: tuple[Join, Join] = (no_adapter, no_adapter)


class LowRank(nn.Module):
    """Low-rank matrix B A x without biases, 2 * width * rank values (LoRA, https://arxiv.org/abs/2106.09685)."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute B A x (..., outputs)."""
        return self.up(self.down(x))

    def matrix(self) -> Tensor:
        """Return B A: (outputs, inputs)."""
        return self.up.weight @ self.down.weight


class LowRankLinear(nn.Linear):
    """Frozen linear layer W x + b with a low-rank change of its matrix, (W + B A) x + b; B starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__(inputs, outputs)
        self.adapter = LowRank(inputs, outputs, rank)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (W + B A) x + b."""
        return super().forward(x) + self.adapter(x)

    def merged(self) -> nn.Linear:
        """Return an equivalent linear layer with one matrix, for inference."""
        linear = nn.Linear(self.in_features, self.out_features, device="meta")
        linear.weight = nn.Parameter((self.weight + self.adapter.matrix()).detach(), requires_grad=False)
        linear.bias = self.bias
        return linear


class Fitting(NamedTuple):
    """Modules of an adapter in a layer: one for the joins, and the attention's output projection."""

    module: nn.Module | None
    joins: tuple[Join, Join]
    out_proj: Callable[[int, int], nn.Linear]


NO_ADAPTER = Fitting(None, UNUSED, nn.Linear)


def _bottleneck(config: MambaProConfig, hidden: int) -> Fitting:
    """Return a bottleneck adapter; it exists even if the switches do not use it, so that checkpoints have its keys."""
    joins = JOINS[config.adapter_position] if config.adapter else UNUSED
    return Fitting(Bottleneck(config.width, hidden), joins, nn.Linear)


def parallel_adapter(config: MambaProConfig) -> Fitting:
    """Build a PFA: width -> adapter_width -> width, widening; 2,361,600 values in the paper's model (2.36 M)."""
    return _bottleneck(config, config.adapter_width)


def bottleneck_adapter(config: MambaProConfig) -> Fitting:
    """Build a BNA: width -> width / 2 -> width, narrowing; 590,976 values (the paper says 0.60 M).

    The paper gives neither width nor position. 384 of 768 follows from the count, which equals that of LoRA with rank
    384; the position is the PFA's, so that the two differ in one aspect.
    """
    return _bottleneck(config, config.width // 2)


def low_rank_adapter(config: MambaProConfig) -> Fitting:
    """Build LoRA of the attention's output projection: 98,304, 393,216, 589,824 values at ranks 64, 256, 384.

    The paper says 0.10, 0.39 and 0.60 M per layer, which is one square matrix; the choice of the output projection, the
    only unpacked one, and of an unscaled change is ours.
    """
    if not config.adapter:
        return NO_ADAPTER
    return Fitting(None, UNUSED, lambda inputs, outputs: LowRankLinear(inputs, outputs, config.lora_rank))


ADAPTERS: dict[str, Callable[[MambaProConfig], Fitting]] = {
    "pfa": parallel_adapter,
    "bottleneck": bottleneck_adapter,
    "lora": low_rank_adapter,
}


def adapter_of_layer(config: MambaProConfig, number: int) -> Fitting:
    """Build the adapter of layer `number`, counted from 1."""
    return ADAPTERS[config.adapter_kind](config) if number >= config.adapter_first_layer else NO_ADAPTER
