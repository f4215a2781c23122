"""Memory that a training of attributes takes at least, compared with what is free before any of it is taken."""

from __future__ import annotations

import torch

from ...common.machine.memory import free_memory
from ...errors import SetupError
from ..engine.least_memory import step_bytes
from ..models.attributes.attribute_model import AttributeModel
from ..models.attributes.text_attributes import TextAttributes
from .attribute_recipe import AttributeRecipe

# a gradient, and the moments of the optimizer, for each value that is trained
_COPIES = {"adam": 3, "sgd": 2}


def least_bytes(model: AttributeModel, recipe: AttributeRecipe, images: int) -> int:
    """Compute a lower bound of the bytes that training takes beside the weights, on PyTorch's meta device.

    Args:
        model: the model to train.
        recipe: of the training.
        images: number of images of a batch.
    """
    with torch.device("meta"):
        twin = type(model)(model.config).train()
        # batch norm takes two samples at least
        batch = torch.empty(max(images, 2), 3, *model.config.image_size)
    if isinstance(twin, TextAttributes) and isinstance(model, TextAttributes):
        for name in twin.constants:
            value = getattr(model, name)
            setattr(twin, name, None if value is None else value.to("meta"))
    twin.freeze()
    half = recipe.precision == "bfloat16"
    return step_bytes(twin, lambda: twin(batch), _COPIES[recipe.solver.optimizer], half)


def require_memory(model: AttributeModel, recipe: AttributeRecipe, processes: int = 1) -> None:
    """Compare a training's least memory with what is free on this machine.

    Raises:
        SetupError: it cannot fit; which fields make it smaller.
    """
    available, images = free_memory(), recipe.solver.batch // processes
    needed = least_bytes(model, recipe, images)
    if available is None or needed <= available:
        return
    height, width = model.config.image_size
    raise SetupError(
        f"Training on batches of {images} images of {height}x{width} pixels takes at least {needed / 2**30:.1f} GiB; "
        f"{available / 2**30:.1f} GiB are available. Lower solver.batch or model.image_size, and raise "
        "solver.accumulate instead."
    )
