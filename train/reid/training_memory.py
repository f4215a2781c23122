"""Lower bound of the memory of a training, compared with the available memory before any is allocated."""

from __future__ import annotations

from ...common.machine.memory import free_memory
from ...errors import SetupError
from ..engine.training_config import Solver
from ..models.mambapro.model_config import MambaProConfig

_FLOAT = 4
_MODALITIES = 3


def least_bytes(config: MambaProConfig, parameters: int, images: int) -> int:
    """Return a lower bound of the bytes of one training step in float32.

    Args:
        config: of the model.
        parameters: values of the model.
        images: samples of a batch.

    Returns:
        Weights, and for every sample its three images and, per layer, the tokens that the backward pass reads: inputs
            and outputs of the attention and of the MLP's hidden layer. The real usage is two to four times as large.
    """
    height, width = config.image_size
    rows, columns = config.grid
    tokens = 1 + rows * columns + config.prompt_tokens
    layer = tokens * (4 * config.width + config.mlp_width)
    return _FLOAT * (parameters + images * _MODALITIES * (3 * height * width + config.depth * layer))


def require_memory(config: MambaProConfig, parameters: int, solver: Solver, processes: int = 1) -> None:
    """Compare a training's minimum memory with the available memory of this machine.

    Raises:
        SetupError: it cannot fit; the message names the fields that reduce it.
    """
    available = free_memory()
    images = solver.identities_per_batch * solver.images_per_identity // processes
    needed = least_bytes(config, parameters, images)
    if available is None or needed <= available:
        return
    height, width = config.image_size
    raise SetupError(
        f"Training on batches of {images} samples of {height}x{width} pixels takes at least {needed / 2**30:.1f} GiB; "
        f"{available / 2**30:.1f} GiB are available. Lower solver.identities_per_batch, solver.images_per_identity or "
        "model.image_size, and raise solver.accumulate instead."
    )
