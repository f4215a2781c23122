"""Goldens of a bundle: inputs, and the outputs that PyTorch returned for them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...common.foreign_text import escaped, shown_text
from ...common.formats.npz_files import npz_arrays
from ...errors import ArtifactError
from .checksums import LARGEST_GOLDEN
from .metadata import BundleMetadata
from .tensors import TensorInfo

#: Arrays in golden.npz.
_MOST_GOLDEN = 64


@dataclass(frozen=True)
class Golden:
    """Inputs by name (the first axis is the sample) and PyTorch's outputs by name, of equal length."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


def parse_golden(content: bytes, path: Path, metadata: BundleMetadata) -> Golden:
    """Read the content of golden.npz; `path` is named in messages.

    Raises:
        ArtifactError: unreadable, or not of the names, types and shapes in the metadata.
    """
    file = io.BytesIO(content)
    arrays = npz_arrays(file, path, "file of goldens", content=LARGEST_GOLDEN, members=_MOST_GOLDEN)
    tensors = (*metadata.inputs, *metadata.outputs)
    if absent := [tensor.name for tensor in tensors if tensor.name not in arrays]:
        raise ArtifactError(
            f"The file of goldens {shown_text(path)} cannot be read: it has no array "
            f"{shown_text(', '.join(absent))}. Export the bundle again."
        )
    first = arrays[metadata.inputs[0].name]
    samples = len(first) if first.ndim else 0
    for tensor in tensors:
        _check_golden(path, tensor, arrays[tensor.name], samples)
    inputs = {tensor.name: arrays[tensor.name] for tensor in metadata.inputs}
    return Golden(inputs, {tensor.name: arrays[tensor.name] for tensor in metadata.outputs})


def _check_golden(path: Path, tensor: TensorInfo, array: np.ndarray, samples: int) -> None:
    right = array.dtype == tensor.dtype and array.ndim == len(tensor.shape) and array.shape[1:] == tensor.shape[1:]
    if not right or len(array) != samples or samples == 0:
        raise ArtifactError(
            f"{escaped(path)}: {escaped(tensor.name)} is {array.dtype} {array.shape}, which does not fit "
            f"{tensor.dtype} "
            f"{list(tensor.shape)} of the metadata and {samples} samples. Export the bundle again."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactError(
            f"{escaped(path)}: {escaped(tensor.name)} holds values that are not finite. Export the bundle again."
        )
