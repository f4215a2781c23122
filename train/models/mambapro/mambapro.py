"""MambaPro: three images of one object to one retrieval feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..parts.aggregation import Aggregation
from ..parts.head import Head, TrainingOutput
from ..parts.vit import Backbone
from ..parts.vit_imagenet import ImageNetBackbone
from .model_config import MambaProConfig

BACKBONES: dict[str, type[Backbone]] = {"clip": Backbone, "vit": ImageNetBackbone}


class MambaPro(nn.Module):
    """The whole model of the paper (figure 2), or one of its variants: the config names the parts.

    All parts are always there, the config's switches pick what runs: a checkpoint of table 3 therefore has the very
    keys of a full one.
    """

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.config = config
        #: What the checkpoint says about its training (data set, epochs, ...); empty for the authors' files.
        self.trained_on: dict[str, Any] = {}
        #: True: the checkpoint had no classifiers, so those of this model know nothing.
        self.headless = False
        self.backbone = BACKBONES[config.backbone](config)
        self.aggregation = Aggregation(config)
        self.concat_head = Head(config.feature_dim, config.identities)
        self.fused_head = Head(config.feature_dim, config.identities)

    def forward(self, images: Tensor, camera_ids: Tensor | None = None) -> Tensor | tuple[TrainingOutput, ...]:
        """Features of a batch of samples.

        Args:
            images: float32 (B, 3 modalities, 3, H, W), modalities rgb, nir, tir; normalised as the config says.
            camera_ids: int64 (B,), zero-based; -1, and any number outside the table, is an unknown camera. None: all.

        Returns:
            In eval mode the raw feature (B, 3 embed_dim), not normalised. In training mode one (score, feature) pair
            for each loss: concatenated class tokens (`direct`) or one pair for each modality, then the fused feature.

        Raises:
            ValueError: images of another shape than the model was built for.
        """
        if camera_ids is None:
            camera_ids = torch.full((images.shape[0],), -1, dtype=torch.int64, device=images.device)
        self._check(images)
        tokens = self.backbone(images.transpose(0, 1), camera_ids)
        return self._training_outputs(tokens) if self.training else self.feature(tokens)

    def feature(self, tokens: Tensor) -> Tensor:
        """Backbone tokens (3, B, 1 + patches, embed_dim) -> raw feature (B, 3 embed_dim)."""
        return self.aggregation(tokens) if self.config.mamba else torch.cat(tuple(tokens[:, :, 0]), -1)

    def _training_outputs(self, tokens: Tensor) -> tuple[TrainingOutput, ...]:
        class_tokens = tokens[:, :, 0]
        # only one of the two is used, but the authors' checkpoints hold the BatchNorm statistics that both leave
        each = [self.backbone.head(token) for token in class_tokens]
        joint = self.concat_head(torch.cat(tuple(class_tokens), -1))
        outputs = [joint] if self.config.direct else each
        if self.config.mamba:
            outputs.append(self.fused_head(self.feature(tokens)))
        return tuple(outputs)

    def _check(self, images: Tensor) -> None:
        expected = (3, 3, *self.config.image_size)
        if images.dim() != 5 or tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"images must be (batch, 3 modalities, 3 channels, {expected[2]}, {expected[3]}), "
                f"got {tuple(images.shape)}."
            )
