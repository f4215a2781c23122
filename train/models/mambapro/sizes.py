"""Named model sizes."""

from __future__ import annotations

from typing import Any

import torch

from ....common.formats.size_limits import VARIABLE, size_limit
from ....common.machine.memory import free_memory
from ....errors import InputError, SetupError
from ..parts.initialize import initialize
from .mambapro import MambaPro
from .model_config import MambaProConfig

_FLOAT = 4
#: Bytes of a model's weights; ViT-B/16 takes 0.6 GiB.
_LARGEST = 16 * 2**30

SIZES: dict[str, dict[str, Any]] = {
    # the paper's: CLIP ViT-B/16
    "vit_b16": {},
    # the same model small enough to train from scratch on a CPU in minutes
    "tiny": {
        "width": 128,
        "depth": 4,
        "mlp_width": 256,
        "embed_dim": 64,
        "adapter_width": 128,
        "transfer_width": 64,
        "scan_channels": 128,
        # a quarter of the paper's: at 16 the scan takes most of a training step on a CPU
        "state": 4,
        "dt_rank": 4,
    },
}
# The same on a ViT of ImageNet (table 9), whose tokens keep the tower's width.
_IMAGENET: dict[str, Any] = {"backbone": "vit", "drop_path": 0.1}
SIZES["vit_b16_imagenet"] = {**_IMAGENET, "embed_dim": 768, "scan_channels": 1536, "dt_rank": 48}
SIZES["tiny_imagenet"] = {**SIZES["tiny"], **_IMAGENET, "embed_dim": 128, "scan_channels": 256, "dt_rank": 8}


def config_of_size(size: str, **fields: Any) -> MambaProConfig:
    """Return the config of a named size with some fields set.

    Raises:
        InputError: a size that does not exist.
    """
    if size not in SIZES:
        raise InputError(f"Unknown model size {size!r}; there are {', '.join(SIZES)}.")
    return MambaProConfig(**{**SIZES[size], **fields})


def build_model(size: str, **fields: Any) -> MambaPro:
    """Build a model of a named size, initialized as by the authors; `fields` are those of MambaProConfig.

    Raises:
        InputError: a size that does not exist, or fields that make a model beyond the limit.
        SetupError: not enough memory.
    """
    config = config_of_size(size, **fields)
    _require_room(config)
    model = MambaPro(config)
    initialize(model)
    return model


def _require_room(config: MambaProConfig) -> None:
    """Check the memory of a model before it is allocated."""
    with torch.device("meta"):
        values = sum(value.numel() for value in MambaPro(config).parameters())
    needed, limit, available = _FLOAT * values, size_limit(_LARGEST), free_memory()
    if needed > limit:
        raise InputError(
            f"This model has {values:,} parameters, {needed / 2**30:.1f} GiB; at most {limit / 2**30:.0f} GiB are "
            f"built. Make it smaller, or set {VARIABLE} to so many GiB."
        )
    if available is not None and needed > available:
        raise SetupError(
            f"This model takes {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are available. Make it smaller."
        )
