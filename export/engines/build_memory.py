"""Host memory that an engine build needs."""

from __future__ import annotations

from pathlib import Path

from ...common.foreign_text import escaped
from ...common.machine.memory import free_memory
from ...errors import SetupError

#: Peak of TensorRT-RTX's builder over the size of the ONNX file, and beside it; `benchmarks/rtx_engines.py` tells.
_TIMES, _BESIDE = 3.6, 400 << 20
#: Below this share of what is usual a build cannot end well.
_HOPELESS = 0.5


def usual_need(onnx_bytes: int) -> int:
    """Bytes that building an engine of an ONNX file usually takes."""
    return int(_TIMES * onnx_bytes) + _BESIDE


def require_memory(onnx_file: Path) -> None:
    """Refuse a build that cannot end well.

    Raises:
        SetupError: far too little memory is free.
    """
    need, free = usual_need(onnx_file.stat().st_size), free_memory()
    if free is not None and free < _HOPELESS * need:
        raise SetupError(
            f"Building an engine of {escaped(onnx_file.name)} usually takes {need / 1e9:.1f} GB of "
            f"memory; {free / 1e9:.1f} GB "
            "are free. Close other programs, build in fp16 (half the size), or on another machine from this bundle."
        )
