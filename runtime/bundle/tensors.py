"""Inputs and outputs of a model: named tensors with a role."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ...common.records import STORED_IF_SET
from ...errors import InputError
from ..data.batch import CAMERA, IMAGE, MODALITY_MASK
from .field_checks import one_of

#: The name of the dynamic axis in a tensor's shape.
BATCH = "batch"

EMBEDDING, LOGITS, PROBABILITIES = "embedding", "logits", "probabilities"
INPUT_ROLES = (IMAGE, CAMERA, MODALITY_MASK)
OUTPUT_ROLES = (EMBEDDING, LOGITS, PROBABILITIES)

#: Types of tensors, and the size of one value in bytes.
DTYPES = {"uint8": 1, "uint16": 2, "int32": 4, "int64": 8, "float16": 2, "float32": 4}
_MOST_AXES = 8


@dataclass(frozen=True)
class TensorInfo:
    """Input or output of a model.

    `shape` holds sizes and, for the dynamic first axis, "batch". Image inputs are uint8 (batch, height, width, 3);
    `modality` is that of an image, where the name is another.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str
    modality: str = field(default="", metadata=STORED_IF_SET)

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, DTYPES)
        if len(self.shape) > _MOST_AXES:
            raise InputError(f"shape may have {_MOST_AXES} axes, not {len(self.shape)}.")
        for i, size in enumerate(self.shape):
            if not (isinstance(size, int) and size > 0) and not (i == 0 and size == BATCH):
                raise InputError(f'shape must hold positive sizes, or "{BATCH}" in front, not {list(self.shape)}.')

    @property
    def sensor(self) -> str:
        """Modality of an image input."""
        return self.modality or self.name

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(size for size in self.shape[1:] if isinstance(size, int)) * DTYPES[self.dtype]
