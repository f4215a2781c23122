"""Attribute models for export: one uint8 image in, logits and probabilities of what is deployed out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .attribute_config import AttributeConfig


class AttributeInference(nn.Module):
    """A model at inference, with the normalization of the pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AttributeConfig, model: nn.Module, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.logits = model, logits
        self.register_buffer("mean", torch.tensor(config.pixel_mean))
        self.register_buffer("std", torch.tensor(config.pixel_std))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Recognize the attributes in images uint8 (B, H, W, 3). Returns logits and probabilities (B, attributes)."""
        # the cast comes first: TensorRT-RTX accepts uint8 in no other operator
        x = (image.float() / 255 - self.mean) / self.std
        logits = self.logits(x.permute(0, 3, 1, 2))
        return logits, logits.sigmoid()
