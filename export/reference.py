"""PyTorch's features: what every exported model has to return."""

from __future__ import annotations

import numpy as np
import torch

from ..train.models.mambapro import MambaPro
from .parity_images import ParityBatch


def embed_with_torch(model: MambaPro, batch: ParityBatch) -> np.ndarray:
    """Raw features of the trained model itself (not of its folded form), float32 (N, dim)."""
    config = model.config
    device = next(model.parameters()).device
    # (N, 3 modalities, 3 channels, H, W)
    images = torch.from_numpy(batch.images).to(device).permute(0, 1, 4, 2, 3).float() / 255
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (config.pixel_mean, config.pixel_std))
    mask = torch.from_numpy(batch.mask).to(device).view(-1, 3, 1, 1, 1)
    cameras = torch.from_numpy(batch.cameras).to(device) if config.sie_camera else None
    with torch.inference_mode():
        return model.eval()((images - mean) / std * mask, cameras).float().cpu().numpy()
