"""PyTorch's features for the parity gate: what every exported model has to return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...common.progress import Track, silent
from ...runtime.data.modalities import MODALITIES
from ...train.models.mambapro.mambapro import MambaPro
from ...train.reid.evaluate import normalised
from .parity_images import ParityBatch, ParityImages, samples_of

_BATCH = 8


class TorchReference:
    """Features of the trained model itself, not of its folded form, for every set of present sensors.

    The streams of a sample do not meet in the backbone, which is nearly all of the work. So the backbone runs once
    with all sensors and once with none, and each set of sensors takes its streams from the two.
    """

    def __init__(self, model: MambaPro, images: ParityImages, track: Track = silent) -> None:
        self.model = model.eval()
        every, some = np.arange(len(images.images)), samples_of(())
        complete = ParityBatch(MODALITIES, images.images, images.cameras)
        empty = ParityBatch((), images.images[some], images.cameras[some])
        parts = [*_split(complete, every), *_split(empty, np.arange(len(some)))]
        tokens = [self._tokens(part) for part in track(parts, "PyTorch", len(parts))]
        joined = torch.cat(tokens, 1)
        self.present, self.missing = joined.split([len(every), len(some)], 1)

    def __call__(self, batch: ParityBatch) -> np.ndarray:
        """Raw features, float32 (N, dim), of one of the batches of `batches_of_subsets`."""
        chosen = samples_of(batch.subset)
        streams = [
            self.present[i][chosen] if modality in batch.subset else self.missing[i]
            for i, modality in enumerate(MODALITIES)
        ]
        with torch.inference_mode():
            parts = torch.stack(streams).split(_BATCH, 1)
            return torch.cat([self.model.feature(part) for part in parts]).numpy()

    def _tokens(self, batch: ParityBatch) -> Tensor:
        with torch.inference_mode():
            images = normalised(self.model, batch.images, batch.mask)
            return self.model.backbone(images.transpose(0, 1), torch.from_numpy(batch.cameras))


def _split(batch: ParityBatch, rows: np.ndarray) -> Sequence[ParityBatch]:
    """A batch in parts of _BATCH samples: memory stays that of a deployment."""
    parts = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    return [ParityBatch(batch.subset, batch.images[part], batch.cameras[part]) for part in parts]
