"""Memory that a training takes at the very least, compared with what there is before any of it is taken."""

from __future__ import annotations

import torch

from ...common.machine.memory import free_memory
from ...errors import SetupError
from ..engine.least_memory import step_bytes
from ..engine.optimizer import freeze_pretrained
from ..engine.training_config import TrainConfig
from ..models.mambapro.mambapro import MambaPro
from ..models.mambapro.model_config import MambaProConfig

# a gradient and Adam's two moments for each value that is trained
_TRAINED_COPIES = 3


def least_bytes(model: MambaProConfig, images: int, *, frozen: bool, half: bool = False) -> int:
    """Compute a lower bound of the bytes that training takes beside the weights, on PyTorch's meta device.

    Args:
        model: config of the model.
        images: samples of a batch.
        frozen: the pretrained tower takes no gradients.
        half: activations may be of two bytes.

    Returns:
        Gradients, Adam's moments, and the tensors that the forward pass saves for the backward pass.
    """
    with torch.device("meta"):
        twin = MambaPro(model).train()
        # batch norm takes two samples at least
        batch = torch.empty(max(images, 2), 3, 3, *model.image_size)
        cameras = torch.zeros(len(batch), dtype=torch.int64)
    if frozen:
        freeze_pretrained(twin)
    return step_bytes(twin, lambda: twin(batch, cameras), _TRAINED_COPIES, half)


def require_memory(model: MambaProConfig, config: TrainConfig, processes: int = 1) -> None:
    """Compare a training's least memory with what is free on this machine.

    Raises:
        SetupError: it cannot fit; which fields make it smaller.
    """
    available, solver = free_memory(), config.solver
    images = solver.identities_per_batch * solver.images_per_identity // processes
    needed = least_bytes(model, images, frozen=config.model.frozen, half=config.precision == "bfloat16")
    if available is None or needed <= available:
        return
    height, width = model.image_size
    raise SetupError(
        f"Training on batches of {images} samples of {height}x{width} pixels takes at least {needed / 2**30:.1f} GiB; "
        f"{available / 2**30:.1f} GiB are available. Lower solver.identities_per_batch, solver.images_per_identity or "
        "model.image_size, and raise solver.accumulate instead."
    )
