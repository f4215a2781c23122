"""The runtime half of a fake TensorRT: plans that are JSON, engines that compute in NumPy on the fake driver's memory.

    driver = FakeDriver()
    trt = fake_tensorrt("10.3", driver)
    engine = trt.Runtime(log).deserialize_cuda_engine(plan(...))

Each generation has the members of its listing alone. What TensorRT leaves undefined is an AssertionError here: a
context that changed or died after a graph was recorded from it, one that is used twice at once, memory that is not its
own. What TensorRT refuses is refused by its way: False or None, and a line in the log.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fake_cuda import FakeDriver
from fake_registry import ILogger, IPluginRegistry, Logger
from fake_surface import Module, fake_module

MAGIC = "fake plan"
_PLUGIN_INTERFACES = (
    "IPluginV3", "IPluginV3OneCore", "IPluginV3OneBuild", "IPluginV3OneRuntime", "IPluginCreatorV3One",
)  # fmt: skip


def fake_tensorrt(
    generation: str, driver: FakeDriver, version: str | None = None, more: Mapping[str, Any] | None = None
) -> Module:
    """A module tensorrt or tensorrt_rtx on a driver; `more` are further parts, those of a builder."""
    parts: dict[str, Any] = {
        "ILogger": ILogger, "Logger": Logger, "Runtime": Runtime, "ICudaEngine": ICudaEngine, "Dims": Dims,
        "IExecutionContext": IExecutionContext, "IPluginRegistry": IPluginRegistry,
        **{name: type(name, (), {}) for name in _PLUGIN_INTERFACES},
        "PluginFieldCollection": type("PluginFieldCollection", (list,), {}),
        **({"IRuntimeConfig": IRuntimeConfig, "IRuntimeCache": IRuntimeCache} if generation == "rtx" else {}),
    }  # fmt: skip
    trt = fake_module(generation, {**parts, **(more or {})}, version)
    trt._driver = driver
    for name in (*parts, *(more or {})):
        if isinstance(getattr(trt, name), type):
            getattr(trt, name)._trt = trt
    registry = trt.IPluginRegistry()
    trt.get_plugin_registry = lambda: registry
    return trt


def plan(
    inputs: Mapping[str, tuple[str, Sequence[int]]],
    outputs: Mapping[str, tuple[str, Sequence[int]]],
    profiles: Sequence[tuple[int, int, int]] = ((1, 2, 4),),
    **more: Any,
) -> bytes:
    """A plan. Tensors are (DataType's name, shape with -1 for the batch); profiles are batches.

    more: `plugin` = needs one that is registered, `host_code` = holds code, `version`, `working` bytes of memory,
    `recordable` = may be recorded in a graph, `wrong_shape` = gives outputs of a shape of its own, `no_context` and
    `no_profile` = refuses a context or its profile.
    """
    value = {"inputs": inputs, "outputs": outputs, "profiles": profiles, **more}
    return json.dumps({"magic": MAGIC, **value}).encode()


def computed(feeds: Mapping[str, np.ndarray], output: str, dtype: Any, shape: Sequence[int]) -> np.ndarray:
    """What a fake engine gives for inputs in its order: every element of every input of a sample counts."""
    batch = len(next(iter(feeds.values())))
    total = np.full(batch, float(len(output)))
    for number, value in enumerate(feeds.values(), 1):
        flat = value.reshape(batch, -1).astype(np.float64)
        total += number * (flat * (1 + np.arange(flat.shape[1]) % 13)).sum(axis=1)
    columns = 1 + np.arange(int(np.prod(shape)))
    return (total[:, None] % 97 * columns).astype(dtype).reshape(batch, *shape)


class Dims(tuple):
    """A shape."""


class Runtime:
    """Loads plans; refuses what a real one does."""

    _trt: Any

    def __init__(self, logger: Any) -> None:
        assert isinstance(logger, self._trt.ILogger), "not a logger of this module"
        assert getattr(logger, "_made", False), "ILogger.__init__ was not called: the bindings would crash"
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        assert self._trt._driver.contexts, "TensorRT would take GPU 0's context, not the one that was asked for"
        try:
            value = json.loads(serialized_engine)
        except ValueError:
            return self._refuse("Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.")
        if value.get("version", self._trt.__version__) != self._trt.__version__:
            return self._refuse(f"The engine plan file was built with {value['version']}, not {self._trt.__version__}.")
        if value.get("plugin") and not self._trt.get_plugin_registry().all_creators:
            return self._refuse("Cannot find plugin: SelectiveScan, version: 1, namespace: mambapro.")
        if value.get("host_code") and not self.engine_host_code_allowed:
            return self._refuse("engine_host_code_allowed is not set.")
        return self._trt.ICudaEngine(value, self._logger)

    def _refuse(self, why: str) -> None:
        self._logger.log(self._trt.ILogger.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {why}")


class ICudaEngine:
    """A plan that was loaded."""

    _trt: Any

    def __init__(self, value: dict[str, Any], logger: Any) -> None:
        self._value, self._logger = value, logger
        self._tensors = {**value["inputs"], **value["outputs"]}
        self._contexts_made = 0

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._value["profiles"])

    @property
    def device_memory_size_v2(self) -> int:
        return self._value.get("working", 4096)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._trt.TensorIOMode
        return modes.INPUT if name in self._value["inputs"] else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType[self._tensors[name][0]]

    def get_tensor_shape(self, name: str) -> Any:
        return self._trt.Dims(self._tensors[name][1])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        assert name in self._value["inputs"], "profiles are those of inputs"
        batch, *rest = self._tensors[name][1]
        return [
            self._trt.Dims((size if batch < 0 else batch, *rest)) for size in self._value["profiles"][profile_index]
        ]

    def create_runtime_config(self) -> Any:
        return self._trt.IRuntimeConfig()

    def create_execution_context(self, strategy: Any = None, runtime_config: Any = None) -> Any:
        if runtime_config is not None:
            strategy = runtime_config.get_execution_context_allocation_strategy()
        if self._value.get("no_context"):
            self._logger.log(self._trt.ILogger.ERROR, "Out of memory in createExecutionContext.")
            return None
        self._contexts_made += 1
        return self._trt.IExecutionContext(self, strategy, runtime_config)


class IRuntimeConfig:
    """How a context of TensorRT-RTX is made."""

    _trt: Any

    def __init__(self) -> None:
        self.cuda_graph_strategy = self._trt.CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = self._trt.DynamicShapesKernelSpecializationStrategy.LAZY
        self._strategy = self._trt.ExecutionContextAllocationStrategy.STATIC
        self._cache: Any = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self._strategy = strategy

    def get_execution_context_allocation_strategy(self) -> Any:
        return self._strategy

    def create_runtime_cache(self) -> Any:
        return self._trt.IRuntimeCache()

    def set_runtime_cache(self, cache: Any = None) -> bool:
        self._cache = cache
        return True

    def get_runtime_cache(self) -> Any:
        return self._cache


class IRuntimeCache:
    """The shapes that kernels were compiled for."""

    _trt: Any

    def __init__(self) -> None:
        self._shapes: set[str] = set()
        self._busy = False

    def deserialize(self, blob: bytes) -> bool:
        assert self._trt._driver.contexts, "no context is current that the cache could be compared with"
        try:
            found = json.loads(blob)
        except ValueError:
            return False
        if found.get("version") != self._trt.__version__:
            return False
        self._shapes |= set(found["shapes"])
        return True

    def serialize(self) -> bytes:
        assert not self._busy, "serialized while a thread compiles"
        return json.dumps({"version": self._trt.__version__, "shapes": sorted(self._shapes)}).encode()


class IExecutionContext:
    """Shapes, addresses and memory of one execution."""

    _trt: Any

    def __init__(self, engine: Any, strategy: Any, config: Any) -> None:
        self._engine, self._strategy, self._config = engine, strategy, config
        self._profile: int | None = 0 if len(engine._value["profiles"]) == 1 else None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory = (0, 0)
        self._settled: Any = None
        self._pending = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0, "working memory must be aligned to 256 bytes"
        self._memory = memory, size

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if self._engine._value.get("no_profile") or profile_index >= self._engine.num_optimization_profiles:
            self._say("setOptimizationProfileAsync: no such profile")
            # this one the bindings raise for, alone of all that a context refuses
            raise RuntimeError("Error in set optimization profile async.")
        self._profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        if self._profile is None:
            return self._say("no optimization profile is set")
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        if len(shape) != len(low) or any(not a <= x <= b for a, x, b in zip(low, shape, high, strict=True)):
            return self._say(f"{name}: {tuple(shape)} is not in the profile {tuple(low)} to {tuple(high)}")
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine._tensors or self._say(f"no tensor {name}")

    def get_tensor_shape(self, name: str) -> Any:
        if name in self._engine._value["inputs"]:
            return self._trt.Dims(self._shapes.get(name, self._engine._tensors[name][1]))
        batch = next(iter(self._shapes.values()), (-1,))[0] + self._engine._value.get("wrong_shape", 0)
        return self._trt.Dims((batch, *self._engine._tensors[name][1][1:]))

    def execute_async_v3(self, stream_handle: int) -> bool:
        inputs, driver = self._engine._value["inputs"], self._trt._driver
        if set(self._shapes) != set(inputs) or set(self._addresses) != set(self._engine._tensors):
            return self._say("not all shapes and addresses are set")
        lent = self._strategy == self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if lent and self._memory[1] < self._engine.device_memory_size_v2:
            return self._say("device memory is missing")
        state, recording = self._state(), stream_handle in driver.captures
        if recording and (state["shapes"] != self._settled or not self._engine._value.get("recordable", True)):
            driver.broken_captures.add(stream_handle)
            return self._say("operation not permitted when stream is capturing")
        assert recording or not self._pending, "one context used twice at once"
        self._pending += not recording
        self._compile()
        self._settled = state["shapes"]
        return driver.enqueue(stream_handle, _Work(self, state, recording)) or self._say("invalid stream")

    def _compile(self) -> None:
        """What TensorRT-RTX does for a new shape: at once, or, unless told, later in the background."""
        if self._config is None or self._shapes == self._settled:
            return
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        self._general = self._config.dynamic_shapes_kernel_specialization_strategy != strategies.EAGER
        cache, shapes = self._config._cache, str(sorted(self._shapes.items()))
        if cache is None or self._general or shapes in cache._shapes:
            return
        assert not cache._busy, "two threads compile into one cache at once"
        cache._busy = True
        self._trt._driver.calls["kernels compiled"] += 1
        cache._shapes.add(shapes)
        cache._busy = False

    def _state(self) -> dict[str, Any]:
        return {"shapes": dict(self._shapes), "addresses": dict(self._addresses), "memory": self._memory}

    def _say(self, why: str) -> bool:
        self._engine._logger.log(self._trt.ILogger.ERROR, f"IExecutionContext::enqueueV3: {why}.")
        return False


class _Work:
    """One execution, done when its stream is waited for."""

    def __init__(self, context: IExecutionContext, state: dict[str, Any], recorded: bool) -> None:
        self.context, self.state, self.recorded = weakref.ref(context), state, recorded

    def __call__(self) -> None:
        context = self.context()
        assert context is not None, "the context died before its work was done"
        assert not self.recorded or context._state() == self.state, "the context changed after it was recorded"
        context._pending -= not self.recorded
        engine, driver = context._engine, context._trt._driver
        memory, size = self.state["memory"]
        if size:
            driver.bytes_at(memory, size)[:] = 0x55
        feeds = {
            name: self._array(driver, name, kind, self.state["shapes"][name])
            for name, (kind, _) in engine._value["inputs"].items()
        }
        batch = len(next(iter(feeds.values())))
        for name, (kind, shape) in engine._value["outputs"].items():
            found = self._array(driver, name, kind, (batch, *shape[1:]))
            found[...] = computed(feeds, name, found.dtype, shape[1:])

    def _array(self, driver: FakeDriver, name: str, kind: str, shape: Sequence[int]) -> np.ndarray:
        dtype = np.dtype({"FLOAT": "float32", "HALF": "float16"}.get(kind, kind.lower()))
        size = int(np.prod(shape)) * dtype.itemsize
        return driver.bytes_at(self.state["addresses"][name], size).view(dtype).reshape(shape)
