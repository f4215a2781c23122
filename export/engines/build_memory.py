"""Host memory of an engine build."""

from __future__ import annotations

from pathlib import Path

from ...common.foreign_text import escaped
from ...common.machine.memory import free_memory
from ...errors import SetupError

#: Peak of TensorRT-RTX's builder relative to the ONNX file, plus a constant; see `benchmarks/rtx_engines.py`.
_TIMES, _BESIDE = 3.6, 400 << 20
#: Fraction of the usual memory below which a build is rejected.
_HOPELESS = 0.5


def usual_need(onnx_bytes: int) -> int:
    """Return the usual memory in bytes for an engine build of an ONNX file."""
    return int(_TIMES * onnx_bytes) + _BESIDE


def require_memory(onnx_file: Path) -> None:
    """Reject a build without enough memory.

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
