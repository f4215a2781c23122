"""Adapters: what a frozen layer learns, and where in the layer it works (paper figure 2 a, tables 5 and 8).

Positions are the two places behind a layer's parts, after attention and after the MLP (FFN). At each of them a `Join`
puts adapter and part together; the sum with the part's input is the layer's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..mambapro.model_config import MambaProConfig
from .layers import Bottleneck

#: (adapter, input of the layer's part, output of the part) -> what is added to the input.
Join = Callable[[Any, Tensor, Tensor], Tensor]


def alone(adapter: nn.Module | None, given: Tensor, output: Tensor) -> Tensor:
    """The part as it is."""
    return output


def beside(adapter: nn.Module, given: Tensor, output: Tensor) -> Tensor:
    """Parallel: the adapter reads what the part was given, before its LayerNorm (paper eq. 1 to 3)."""
    return output + adapter(given)


def behind(adapter: nn.Module, given: Tensor, output: Tensor) -> Tensor:
    """Serial: the adapter reads what the part returned and adds to it.

    The paper only says "behind". That the part's output also passes by is ours, after Houlsby et al. (2019).
    """
    return output + adapter(output)


#: Position -> joins after attention (MHSA) and after the MLP (FFN).
JOINS: dict[str, tuple[Join, Join]] = {
    "beside_ffn": (alone, beside),
    "behind_ffn": (alone, behind),
    "beside_mhsa": (beside, alone),
    "behind_mhsa": (behind, alone),
}
UNUSED: tuple[Join, Join] = (alone, alone)


class LowRank(nn.Module):
    """B A x: two matrices without biases and nothing between them, 2 * width * rank values (Hu et al. 2021)."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))

    def matrix(self) -> Tensor:
        """B A, (outputs, inputs)."""
        return self.up.weight @ self.down.weight


class LowRankLinear(nn.Linear):
    """A frozen linear layer W x + b with a low-rank change of its matrix, (W + B A) x + b; B starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__(inputs, outputs)
        self.adapter = LowRank(inputs, outputs, rank)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.adapter(x)

    def merged(self) -> nn.Linear:
        """The same as one matrix; for inference."""
        linear = nn.Linear(self.in_features, self.out_features, device="meta")
        linear.weight = nn.Parameter((self.weight + self.adapter.matrix()).detach(), requires_grad=False)
        linear.bias = self.bias
        return linear


class Fitting(NamedTuple):
    """What an adapter brings into a layer: a module for the joins, and the attention's out projection."""

    module: nn.Module | None
    joins: tuple[Join, Join]
    out_proj: Callable[[int, int], nn.Linear]


NO_ADAPTER = Fitting(None, UNUSED, nn.Linear)


def _bottleneck(config: MambaProConfig, hidden: int) -> Fitting:
    """The module stands in the layer even where the switch leaves it unused: a checkpoint has it all the same."""
    joins = JOINS[config.adapter_position] if config.adapter else UNUSED
    return Fitting(Bottleneck(config.width, hidden), joins, nn.Linear)


def parallel_adapter(config: MambaProConfig) -> Fitting:
    """PFA: width -> adapter_width -> width, which widens; 2,361,600 values in the paper's model (2.36 M)."""
    return _bottleneck(config, config.adapter_width)


def bottleneck_adapter(config: MambaProConfig) -> Fitting:
    """BNA: width -> width / 2 -> width, which narrows; 590,976 values (the paper says 0.60 M).

    The paper gives neither width nor place. 384 of 768 comes from the count, which it shares with LoRA of rank 384; the
    place is the PFA's, so that the two differ in one thing.
    """
    return _bottleneck(config, config.width // 2)


def low_rank_adapter(config: MambaProConfig) -> Fitting:
    """LoRA of the attention's out projection: 98,304, 393,216 and 589,824 values at ranks 64, 256 and 384.

    The paper says 0.10, 0.39 and 0.60 M per layer, which is one square matrix; that it is the out projection, the only
    one that stands by itself, and that the change is not scaled, is ours.
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
    """The adapter of layer `number`, counted from 1."""
    return ADAPTERS[config.adapter_kind](config) if number >= config.adapter_first_layer else NO_ADAPTER
