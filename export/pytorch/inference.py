"""The graph that is exported: three uint8 images in, one feature out, nothing of the training left."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...train.models.mambapro.mambapro import MambaPro
from ...train.models.mambapro.model_config import MambaProConfig
from ...train.models.parts.aggregation import Aggregation, half_names
from ...train.models.parts.vit import Backbone
from .fold import copy_for_folding, fold

EMBEDDING = "embedding"


class InferenceModel(nn.Module):
    """MambaPro at inference, with its stages: `forward` returns the feature, then every stage in order.

    The stages are the points where the exported model can be compared with PyTorch, see `stage_names`.
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
        self, rgb: Tensor, nir: Tensor, tir: Tensor, camera: Tensor | None, modality_mask: Tensor
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


def inference_model(model: MambaPro) -> InferenceModel:
    """Fold a trained model for export; the model itself stays as it is."""
    with torch.no_grad():
        backbone = copy_for_folding(model.backbone)
        backbone.register_module("head", None)
        aggregation = copy_for_folding(model.aggregation) if model.config.mamba else None
        folded = InferenceModel(model.config, backbone, aggregation).eval()
        fold(folded)
    return folded


def stage_names(config: MambaProConfig) -> list[str]:
    """Names of the stages in the order `InferenceModel` returns them: the modules of MambaPro that end there."""
    names = ["backbone.embedding", *(f"backbone.layers.{i}" for i in range(config.depth)), "backbone"]
    if config.mamba:
        names += [f"aggregation.{half}" for half in half_names(config)]
    return names
