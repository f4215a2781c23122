"""Host memory: what a build needs, and what there is."""

from __future__ import annotations

from pathlib import Path

from ...errors import SetupError

#: Peak of TensorRT-RTX's builder over the size of the ONNX file, and beside it; `benchmarks/rtx_engines.py` tells.
_TIMES, _BESIDE = 4.5, 400 << 20
#: Below this share of what is usual a build cannot end well.
_HOPELESS = 0.5
_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def usual_need(onnx_bytes: int) -> int:
    """Bytes that building an engine of an ONNX file usually takes."""
    return int(_TIMES * onnx_bytes) + _BESIDE


def free_memory() -> int | None:
    """Bytes that this process may still take, None where the system does not tell."""
    found = []
    if _MEMINFO.is_file():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    if _LIMIT.is_file() and (limit := _LIMIT.read_text().strip()).isdigit():
        found.append(int(limit) - int(_USED.read_text()))
    return min(found) if found else None


def require_memory(onnx_file: Path) -> None:
    """Refuse a build that cannot end well.

    Raises:
        SetupError: far too little memory is free.
    """
    need, free = usual_need(onnx_file.stat().st_size), free_memory()
    if free is not None and free < _HOPELESS * need:
        raise SetupError(
            f"Building an engine of {onnx_file.name} usually takes {need / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB "
            "are free. Close other programs, build in fp16 (half the size), or on another machine from this bundle."
        )
