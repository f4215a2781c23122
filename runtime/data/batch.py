"""Decoded batch of multi-modal samples: the input of every model of the project."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import InputError
from .sample import UNKNOWN

#: Roles of model inputs.
IMAGE, CAMERA, MODALITY_MASK = "image", "camera", "modality_mask"


class Input(Protocol):
    """Name, role and NumPy type of a model's input; a TensorInfo is one."""

    @property
    def name(self) -> str:
        """Name in the graph."""

    @property
    def role(self) -> str:
        """One of the roles above."""

    @property
    def sensor(self) -> str:
        """Modality of an image."""

    @property
    def dtype(self) -> str:
        """NumPy type."""


@dataclass(frozen=True)
class Batch:
    """N samples of M modalities, of the model's image size.

    Attributes:
        images: uint8 (N, height, width, 3) by modality; the pixels of a missing image are ignored.
        mask: float32 (N, M), 1 = present, 0 = missing; columns in the order of `images`.
        cameras: int64 (N,) zero-based camera numbers; -1 = unknown.
    """

    images: Mapping[str, np.ndarray]
    mask: np.ndarray
    cameras: np.ndarray

    @classmethod
    def of(
        cls, images: Mapping[str, np.ndarray], mask: np.ndarray | None = None, cameras: np.ndarray | None = None
    ) -> Batch:
        """Build a batch of arrays; by default every image is present and all cameras are unknown."""
        count = len(next(iter(images.values()), ()))
        mask = np.ones((count, len(images)), np.float32) if mask is None else mask
        cameras = np.full(count, UNKNOWN, np.int64) if cameras is None else cameras
        return cls(images, mask, cameras)

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, rows: slice | np.ndarray) -> Batch:
        """Return some of the samples, by a slice or their numbers."""
        return self._with(lambda values: values[rows])

    @property
    def present(self) -> tuple[str, ...]:
        """Modalities with at least one image in the batch."""
        return tuple(name for i, name in enumerate(self.images) if self.mask[:, i].any())

    def parts(self, size: int) -> Iterable[Batch]:
        """Yield the batch in parts of at most `size` samples, in order."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def padded(self, least: int) -> Batch:
        """Repeat the last sample until the batch has at least `least` samples."""
        missing = least - len(self)
        if missing <= 0:
            return self
        return self._with(lambda values: np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]))

    def only(self, modalities: Collection[str]) -> Batch:
        """Return the same samples with the images of other modalities black and masked."""
        absent = [name for name in self.images if name not in modalities]
        if not absent:
            return self
        images = {name: np.zeros_like(x) if name in absent else x for name, x in self.images.items()}
        return Batch(images, self.mask * np.array([name not in absent for name in images], np.float32), self.cameras)

    def stacked(self, modalities: Sequence[str]) -> np.ndarray:
        """Stack the images into one array. Returns uint8 (N, modalities, height, width, 3)."""
        return np.stack([self.images[name] for name in modalities], axis=1)

    def feeds(self, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
        """Return the values of a model's inputs by name, in the type of each.

        Raises:
            InputError: an image is missing, and the model has no input for the mask.
        """
        names = list(self.images)
        columns = [names.index(tensor.sensor) for tensor in inputs if tensor.role == IMAGE]
        mask = self.mask[:, columns]
        if not mask.all() and not any(tensor.role == MODALITY_MASK for tensor in inputs):
            sensors = ", ".join(names[column] for column in columns)
            raise InputError(f"The model needs an image of every sensor ({sensors}); some are missing.")
        values = {CAMERA: self.cameras, MODALITY_MASK: mask}
        return {
            tensor.name: np.asarray(self.images[tensor.sensor] if tensor.role == IMAGE else values[tensor.role]).astype(
                tensor.dtype, copy=False
            )
            for tensor in inputs
        }

    def _with(self, change: Callable[[np.ndarray], np.ndarray]) -> Batch:
        images = {name: change(values) for name, values in self.images.items()}
        return Batch(images, change(self.mask), change(self.cameras))
