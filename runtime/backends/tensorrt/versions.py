"""What differs between TensorRT 10.3 to 11 and TensorRT-RTX, and the refusal of every other version."""

from __future__ import annotations

import re
from typing import Any

from ....errors import InputError, SetupError
from ....plugins.selective_scan import tensorrt_fronts
from .kernel_cache import Kernels

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
#: Module -> the first version that is supported, and the first that is not any more.
RANGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    TENSORRT: ((10, 3), (12,)),
    TENSORRT_RTX: ((1, 7), (2,)),
}
#: What an engine of TensorRT-RTX is built for unless told: all it knows but 7.5, for which it has no float32 product.
RTX_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0", "12.1")
#: An address is handed over in any case.
_SMALLEST_MEMORY = 256
_NAMES = {TENSORRT: "TensorRT", TENSORRT_RTX: "TensorRT-RTX"}
_PACKAGES = {TENSORRT: "tensorrt", TENSORRT_RTX: "tensorrt-rtx"}


def import_tensorrt(library: str) -> Any:
    """The module tensorrt or tensorrt_rtx, of a version that is supported.

    Raises:
        InputError: another name.
        SetupError: it is not installed, cannot be loaded, or is of another version.
    """
    if library not in RANGES:
        raise InputError(f"library must be one of {', '.join(RANGES)}, not {library!r}.")
    trt = tensorrt_fronts.import_module(library)
    if problem := version_problem(library, trt.__version__):
        raise SetupError(problem)
    return trt


def version_problem(library: str, version: str) -> str | None:
    """Why a version cannot be used, with the three ways out, or None."""
    first, end = RANGES[library]
    if first <= release(version) < end:
        return None
    name, low, high = _NAMES[library], ".".join(map(str, first)), end[0]
    return (
        f"{name} {version} is installed; versions from {low} to before {high} are supported. Three ways out: "
        f'install one of them (pip install "{_PACKAGES[library]}>={low},<{high}"; on Jetson with its JetPack); '
        "rebuild the engine on this machine from the ONNX file in the bundle with a supported version (mambapro build);"
        " or run that ONNX file with ONNX Runtime or OpenVINO."
    )


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: (10, 12, 0, 36) for "10.12.0.36"; anything behind them is left out."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def rtx_capabilities(trt: Any) -> tuple[str, ...]:
    """Compute capabilities that TensorRT-RTX can build for, such as "8.6", in their order."""
    numbers = [name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    return tuple(f"{number[:-1]}.{number[-1]}" for number in sorted(numbers, key=int))


def records_graphs_itself(trt: Any) -> bool:
    """Whether the library makes CUDA graphs inside.

    TensorRT-RTX does: it compiles its kernels while it runs, at moments of its own, and knows which of them to record.
    """
    return trt.__name__ == TENSORRT_RTX


def working_memory(trt: Any, engine: Any) -> int:
    """Bytes that contexts of an engine may share as long as only one of them runs; 0 where each has its own.

    TensorRT-RTX knows its kernels, and what they need, only when it has compiled them for a shape.
    """
    return 0 if records_graphs_itself(trt) else max(int(engine.device_memory_size_v2), _SMALLEST_MEMORY)


def create_context(trt: Any, engine: Any, cuda_graphs: bool, memory: int, kernels: Kernels | None = None) -> Any:
    """A new execution context; None where TensorRT refuses.

    Args:
        cuda_graphs: let a library that records graphs itself do so.
        memory: address of `working_memory`.
        kernels: for TensorRT-RTX, those that are compiled already.
    """
    if records_graphs_itself(trt):
        config, graphs = engine.create_runtime_config(), trt.CudaGraphStrategy
        config.cuda_graph_strategy = graphs.WHOLE_GRAPH_CAPTURE if cuda_graphs else graphs.DISABLED
        # left alone, new shapes run on general kernels until others are compiled in the background: what is checked
        # and timed would not be what runs later
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        if kernels is not None:
            kernels.give(config)
        return engine.create_execution_context(runtime_config=config)
    context = engine.create_execution_context(strategy=trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    if context is not None:
        context.set_device_memory(memory, working_memory(trt, engine))
    return context
