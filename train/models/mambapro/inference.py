"""The graph that is exported: three uint8 images in, one feature out, nothing of the training left."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..folding import copy_for_folding, fold
from ..parts.aggregation import Aggregation
from ..parts.vit import Backbone
from .folded import FOLDED
from .model_config import MambaProConfig


class InferenceModel(nn.Module):
    """MambaPro at inference, with its stages: `forward` returns the feature, then every stage in order.

    The stages are those of the model's spec.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: MambaProConfig, backbone: Backbone, aggregation: Aggregation | None) -> None:
        super().__init__()
        self.config, self.backbone, self.aggregation = config, backbone, aggregation
        # (1, 1, 1, 1, 3): one value for each colour channel of (3, B, H, W, 3)
        self.register_buffer("mean", torch.tensor(config.pixel_mean).view(1, 1, 1, 1, 3))
        self.register_buffer("std", torch.tensor(config.pixel_std).view(1, 1, 1, 1, 3))

    def forward(
        self, rgb: Tensor, nir: Tensor, tir: Tensor, modality_mask: Tensor, camera: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """uint8 images (B, H, W, 3), camera int64 (B,) or None, mask float32 (B, 3) -> (feature, *stages)."""
        backbone = self.backbone
        x, handed_on = backbone.embedding(self.normalise((rgb, nir, tir), modality_mask), camera), None
        stages = [x]
        for layer in backbone.layers:
            x, handed_on = layer(x, handed_on)
            stages.append(x)
        tokens = backbone.project(x).unflatten(0, (3, -1))
        stages.append(tokens)
        if self.aggregation is None:
            feature = torch.cat(tuple(tokens[:, :, 0]), -1)
        else:
            feature = self.aggregate(self.aggregation, tokens, stages)
        return feature, *stages

    def normalise(self, images: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) each -> (3, B, 3, H, W); a missing modality is zero after normalisation."""
        # the cast comes first: TensorRT-RTX takes uint8 into nothing else
        x = torch.stack([image.float() for image in images])
        x = (x / 255 - self.mean) / self.std * mask.t().reshape(3, -1, 1, 1, 1)
        return x.permute(0, 1, 4, 2, 3)

    def aggregate(self, aggregation: Aggregation, tokens: Tensor, stages: list[Tensor]) -> Tensor:
        """Backbone tokens to the fused feature; appends the stages passed."""
        patches = tokens[:, :, 1:]
        for half in aggregation.halves:
            patches = half(patches)
            stages.append(patches)
        return aggregation.reduce(tokens[:, :, 0], patches)


def inference_model(config: MambaProConfig, backbone: Backbone, aggregation: Aggregation | None) -> InferenceModel:
    """Fold copies of the trained parts; they themselves stay as they are."""
    with torch.no_grad():
        backbone = copy_for_folding(backbone)
        backbone.register_module("head", None)
        folded = InferenceModel(config, backbone, None if aggregation is None else copy_for_folding(aggregation)).eval()
        fold(folded, FOLDED)
    return folded
