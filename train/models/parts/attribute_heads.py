"""Tail of the attribute models (https://arxiv.org/abs/2407.10374): one token for each attribute, one logit for each."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class TokenMix(nn.Conv1d):
    """Linear mixture along the token axis: a convolution with one tap that takes tokens for channels."""

    def __init__(self, tokens: int, outputs: int) -> None:
        super().__init__(tokens, outputs, 1)


class AttributeLinears(nn.ModuleList):
    """One Linear layer with one output for each attribute."""

    def __init__(self, attributes: int, width: int) -> None:
        super().__init__([nn.Linear(width, 1) for _ in range(attributes)])

    def stacked(self) -> tuple[Tensor, Tensor]:
        """Return weights (attributes, width) and biases (attributes,)."""
        layers = [cast(nn.Linear, layer) for layer in self]
        return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """Compute one value of each attribute's token, x (B, attributes, width). Returns (B, attributes)."""
        weight, bias = self.stacked()
        return attribute_products(x, weight) + bias


def attribute_products(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply each attribute's token, x (B, attributes, width), with its weight. Returns (B, attributes)."""
    # a product, not a sum: OpenVINO 2026.4 adds biases behind a sum over the last axis wrongly in batches
    return torch.matmul(x.unsqueeze(2), weight.unsqueeze(2)).flatten(1)
