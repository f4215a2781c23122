"""Writing ONNX; without PyTorch, so that artifacts can be built where it is not installed."""

from __future__ import annotations

from pathlib import Path

import onnx

from ..errors import ExportError

#: Protocol buffers end at 2 GiB.
_LARGEST_FILE = 2**31 - 1


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as one file.

    Raises:
        ExportError: it is larger than the 2 GiB a single ONNX file can hold.
    """
    size = model.ByteSize()
    if size > _LARGEST_FILE:
        raise ExportError(f"The model takes {size / 2**30:.1f} GiB; one ONNX file holds 2. Export it with --fp16.")
    onnx.save_model(model, path)
