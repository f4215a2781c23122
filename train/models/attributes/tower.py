"""Base of the towers: ImageNet classifiers whose tokens the attribute models read."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ..model_spec import Model


class Tower(Model):
    """Image classifier.

    Attributes:
        width: channels of a token.
        tokens: number of tokens of an image.
        class_row: of the class token among the tokens; None: the tower has no positions.
        head_name: name of the last Linear.
        renames: (old, new) beginnings of keys in public checkpoints, or parts of them that begin with a dot.
    """

    head_name: ClassVar[str]
    renames: ClassVar[tuple[tuple[str, str], ...]] = ()
    config: Any
    width: int
    tokens: int
    class_row: int | None = None

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def features(self, images: Tensor) -> Tensor:
        """Compute the tokens of images (B, 3, H, W). Returns (B, tokens, width), row-major."""
        raise NotImplementedError


def check_images(images: Tensor, size: tuple[int, int]) -> None:
    """Check the shape of images.

    Raises:
        ValueError: images of another shape than (B, 3, height, width).
    """
    if images.dim() != 4 or tuple(images.shape[1:]) != (3, *size):
        raise ValueError(f"images must be (batch, 3 channels, {size[0]}, {size[1]}), got {tuple(images.shape)}.")


def drop_rates(last: float, layers: int) -> list[float]:
    """Return rates of stochastic depth that rise linearly from 0 to `last`, one for each layer."""
    return [last * number / max(layers - 1, 1) for number in range(layers)]
