"""MambaPro's inference graph for export: three uint8 images in, one feature out, without training parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..folding import copy_for_folding, fold
from ..parts.aggregation import Aggregation
from ..parts.vit import Backbone
from .folded import FOLDED
from .model_config import MambaProConfig


class InferenceModel(nn.Module):
    """MambaPro at inference: `forward` returns the feature, then the stages of the model's spec in order."""

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
        """Compute the features of a batch.

        Args:
            rgb, nir, tir: uint8 images (B, H, W, 3).
            modality_mask: float32 (B, 3), 1 where the sensor is present.
            camera: int64 (B,) or None.

        Returns:
            feature (B, 3 embed_dim), then the stages.
        """
        backbone = self.backbone
        x, previous_prompts = backbone.embedding(self.normalise((rgb, nir, tir), modality_mask), camera), None
        stages = [x]
        for layer in backbone.layers:
            x, previous_prompts = layer(x, previous_prompts)
            stages.append(x)
        tokens = backbone.project(x).unflatten(0, (3, -1))
        stages.append(tokens)
        if self.aggregation is None:
            feature = torch.cat(tuple(tokens[:, :, 0]), -1)
        else:
            feature = self.aggregate(self.aggregation, tokens, stages)
        return feature, *stages

    def normalise(self, images: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Normalize images; a missing modality is zero after normalization.

        Args:
            images: uint8 (B, H, W, 3) each.
            mask: float32 (B, 3).

        Returns:
            float32 (3, B, 3, H, W).
        """
        # the cast comes first: TensorRT-RTX accepts uint8 in no other operator
        x = torch.stack([image.float() for image in images])
        x = (x / 255 - self.mean) / self.std * mask.t().reshape(3, -1, 1, 1, 1)
        return x.permute(0, 1, 4, 2, 3)

    def aggregate(self, aggregation: Aggregation, tokens: Tensor, stages: list[Tensor]) -> Tensor:
        """Fuse backbone tokens; appends the stages that are passed to `stages`. Returns feature (B, 3 embed_dim)."""
        patches = tokens[:, :, 1:]
        for half in aggregation.halves:
            patches = half(patches)
            stages.append(patches)
        return aggregation.reduce(tokens[:, :, 0], patches)


def inference_model(config: MambaProConfig, backbone: Backbone, aggregation: Aggregation | None) -> InferenceModel:
    """Build the inference model from folded copies of the trained parts, which stay unchanged."""
    with torch.no_grad():
        backbone = copy_for_folding(backbone)
        backbone.register_module("head", None)
        folded = InferenceModel(config, backbone, None if aggregation is None else copy_for_folding(aggregation)).eval()
        fold(folded, FOLDED)
    return folded
