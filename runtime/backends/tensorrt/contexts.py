"""Execution contexts of an engine, for TensorRT and TensorRT-RTX."""

from __future__ import annotations

from typing import Any

from ....plugins.tensorrt.versions import TENSORRT_RTX
from .kernel_cache import Kernels

#: TensorRT requires a non-null pointer even if no memory is needed.
_SMALLEST_MEMORY = 256


def records_graphs_itself(trt: Any) -> bool:
    """Return True for a library that records CUDA graphs internally.

    TensorRT-RTX compiles kernels while it runs, so it alone knows which launches can be recorded.
    """
    return trt.__name__ == TENSORRT_RTX


def working_memory(trt: Any, engine: Any) -> int:
    """Return the bytes that contexts may share if only one of them runs at a time; 0 if each has its own.

    TensorRT-RTX knows the memory of its kernels only after it has compiled them for a shape.
    """
    return 0 if records_graphs_itself(trt) else max(int(engine.device_memory_size_v2), _SMALLEST_MEMORY)


def create_context(trt: Any, engine: Any, cuda_graphs: bool, memory: int, kernels: Kernels | None = None) -> Any:
    """Create an execution context; None if TensorRT fails.

    Args:
        cuda_graphs: enable recording in a library that records graphs itself.
        memory: address of `working_memory`.
        kernels: for TensorRT-RTX, cached kernels.
    """
    if records_graphs_itself(trt):
        config, graphs = engine.create_runtime_config(), trt.CudaGraphStrategy
        config.cuda_graph_strategy = graphs.WHOLE_GRAPH_CAPTURE if cuda_graphs else graphs.DISABLED
        # by default new shapes run on general kernels until others are compiled in the background: checks and timings
        # would not apply to later runs
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        if kernels is not None:
            kernels.give(config)
        return engine.create_execution_context(runtime_config=config)
    context = engine.create_execution_context(strategy=trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    if context is not None:
        context.set_device_memory(memory, working_memory(trt, engine))
    return context
