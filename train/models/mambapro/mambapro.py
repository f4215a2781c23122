"""MambaPro (https://arxiv.org/abs/2412.10707): three images of one object to one retrieval feature."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....common.foreign_text import shown_text
from ....common.progress import Track, silent
from ....errors import InputError
from ....runtime.bundle.tensors import EMBEDDING
from ....runtime.data.batch import Batch
from ....runtime.data.modalities import MODALITIES
from ..model_spec import PART, Model, ModelSpec
from ..parts.aggregation import Aggregation
from ..parts.head import Head, TrainingOutput
from ..parts.vit import Backbone
from ..parts.vit_imagenet import ImageNetBackbone
from ..suited import warn_of_other_benchmark
from .inference import InferenceModel, inference_model
from .model_config import MambaProConfig
from .spec import spec_of

BACKBONES: dict[str, type[Backbone]] = {"clip": Backbone, "vit": ImageNetBackbone}


class MambaPro(Model):
    """The complete model of the paper (figure 2), or one of its variants: the config selects the parts.

    All parts always exist, and the switches select those that run; a checkpoint of table 3 therefore has the keys of a
    full one.
    """

    kind = "mambapro"
    config_type = MambaProConfig
    switches = ("prompt", "adapter", "mamba", "sie_camera", "sie_coe", "direct", "pixel_mean", "pixel_std")
    heads = ("backbone.head.", "concat_head.", "fused_head.")

    def __init__(self, config: MambaProConfig) -> None:
        super().__init__()
        self.config = config
        self.cameras = config.cameras if config.sie_camera else 0
        self.backbone = BACKBONES[config.backbone](config)
        self.aggregation = Aggregation(config)
        self.concat_head = Head(config.feature_dim, config.identities)
        self.fused_head = Head(config.feature_dim, config.identities)

    def forward(self, images: Tensor, camera_ids: Tensor | None = None) -> Tensor | tuple[TrainingOutput, ...]:
        """Compute the features of a batch of samples.

        Args:
            images: float32 (B, 3 modalities, 3, H, W), modalities rgb, nir, tir; normalized as in the config.
            camera_ids: int64 (B,), zero-based; -1, and any number outside the table, is an unknown camera. None: all
                unknown.

        Returns:
            In eval mode the raw feature (B, 3 embed_dim), not of unit length. In training mode one (score, feature)
                pair for each loss: concatenated class tokens (`direct`) or one pair for each modality, then the fused
                feature.

        Raises:
            ValueError: images of another shape than the model was built for.
        """
        if camera_ids is None:
            camera_ids = torch.full((images.shape[0],), -1, dtype=torch.int64, device=images.device)
        self._check(images)
        tokens = self.backbone(images.transpose(0, 1), camera_ids)
        return self._training_outputs(tokens) if self.training else self.feature(tokens)

    def feature(self, tokens: Tensor) -> Tensor:
        """Fuse backbone tokens (3, B, 1 + patches, embed_dim). Returns raw feature (B, 3 embed_dim)."""
        return self.aggregation(tokens) if self.config.mamba else torch.cat(tuple(tokens[:, :, 0]), -1)

    def _training_outputs(self, tokens: Tensor) -> tuple[TrainingOutput, ...]:
        class_tokens = tokens[:, :, 0]
        # only one of the two is used, but the authors' checkpoints hold the BatchNorm statistics of both
        each = [self.backbone.head(token) for token in class_tokens]
        joint = self.concat_head(torch.cat(tuple(class_tokens), -1))
        outputs = [joint] if self.config.direct else each
        if self.config.mamba:
            outputs.append(self.fused_head(self.feature(tokens)))
        return tuple(outputs)

    @cached_property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and structure."""
        running = [*self.backbone.modules(), *(self.aggregation.modules() if self.config.mamba else ())]
        return spec_of(self.config, running)

    def warn_of_use(self, path: Path, dataset: str | None) -> None:
        """Log a warning if images or benchmark differ from those of the checkpoint's training."""
        warn_of_other_benchmark(self.config, path, trained_on=self.trained_on.get("dataset"), used_on=dataset)

    def inference(self) -> InferenceModel:
        """Return the network for export."""
        return inference_model(self.config, self.backbone, self.aggregation if self.config.mamba else None)

    def predict(self, batch: Batch) -> tuple[Tensor]:
        """Compute the raw feature. Returns (N, 3 embed_dim), on the model's device."""
        x = self.normalised(batch.stacked(MODALITIES), batch.mask)
        return (self(x, torch.from_numpy(np.asarray(batch.cameras, np.int64)).to(x.device)),)

    def normalised(self, images: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """Normalize images for the forward pass, on the model's device.

        Args:
            images: uint8 (B, 3 modalities, H, W, 3).
            mask: float32 (B, 3), 0 where a sensor is missing: its image is zero after normalization.

        Returns:
            float32 (B, 3 modalities, 3, H, W).
        """
        device = next(self.parameters()).device
        values = (self.config.pixel_mean, self.config.pixel_std)
        mean, std = (torch.tensor(list(v), dtype=torch.float32, device=device).view(3, 1, 1) for v in values)
        x = (torch.from_numpy(images).to(device).permute(0, 1, 4, 2, 3).float() / 255 - mean) / std
        return x if mask is None else x * torch.from_numpy(mask).to(device).view(*mask.shape, 1, 1, 1)

    @torch.inference_mode()
    def run_subsets(
        self, samples: Batch, subsets: Sequence[tuple[tuple[str, ...], np.ndarray]], track: Track = silent
    ) -> list[dict[str, np.ndarray]]:
        """Compute outputs for subsets of samples and modalities; `subsets` are (modalities, rows).

        The streams of a sample do not meet in the backbone, which is nearly all of the work. The backbone therefore
        runs once with all modalities and once with none, and each set of modalities takes its streams from the two.

        Returns:
            for each subset the outputs by name, float32 (rows, ...).
        """
        self.eval()
        partial = sorted({int(row) for names, rows in subsets if len(names) < len(MODALITIES) for row in rows})
        missing = samples[np.array(partial, int)]
        missing = Batch(missing.images, np.zeros_like(missing.mask), missing.cameras)
        parts = [*samples.parts(PART), *missing.parts(PART)]
        tokens = torch.cat([self._tokens(part) for part in track(parts, "Running PyTorch: batches", len(parts))], 1)
        present, absent = tokens.split([len(samples), len(partial)], 1)
        place = {row: number for number, row in enumerate(partial)}
        return [self._outputs_of(present, absent, place, *subset) for subset in subsets]

    def _tokens(self, batch: Batch) -> Tensor:
        images = self.normalised(batch.stacked(MODALITIES), batch.mask)
        return self.backbone(images.transpose(0, 1), torch.from_numpy(batch.cameras))

    def _outputs_of(
        self, present: Tensor, absent: Tensor, place: Mapping[int, int], names: tuple[str, ...], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        streams = [
            present[i][rows] if modality in names else absent[i][[place[int(row)] for row in rows]]
            for i, modality in enumerate(MODALITIES)
        ]
        features = torch.cat([self.feature(part) for part in torch.stack(streams).split(PART, 1)])
        return {EMBEDDING: features.numpy()}

    def _check(self, images: Tensor) -> None:
        expected = (3, 3, *self.config.image_size)
        if images.dim() != 5 or tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"images must be (batch, 3 modalities, 3 channels, {expected[2]}, {expected[3]}), "
                f"got {tuple(images.shape)}."
            )


def require_mambapro(model: Model, path: str | os.PathLike[str]) -> None:
    """Raise InputError if a checkpoint's model is of another kind."""
    if not isinstance(model, MambaPro):
        raise InputError(f"{shown_text(path)} holds a model of kind {model.kind!r}; give a checkpoint of MambaPro.")
