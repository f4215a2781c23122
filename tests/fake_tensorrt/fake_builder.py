"""The building half of a fake TensorRT: ONNX files to plans that the fake runtime loads.

    trt = fake_tensorrt("10.3", FakeDriver(), more=builder_parts("10.3"))

It is as strict about types as the generation is: weakly typed networks need a flag for every type that they hold,
strongly typed ones take no such flag. A plan tells under "built" what the builder was told. What the real builder
refuses is refused by its way: None or False, and a line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from element_types import element_types
from fake_trt import plan
from onnx import TensorProto

_KINDS = {
    TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.BFLOAT16: "BF16", TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL", TensorProto.UINT8: "UINT8",
}  # fmt: skip
_LAYERS = {
    "MatMul": "MATRIX_MULTIPLY", "Gemm": "MATRIX_MULTIPLY", "Conv": "CONVOLUTION", "Softmax": "SOFTMAX",
    "LayerNormalization": "NORMALIZATION", "ReduceMean": "REDUCE", "Add": "ELEMENTWISE", "Sub": "ELEMENTWISE",
    "Mul": "ELEMENTWISE", "Div": "ELEMENTWISE", "Sigmoid": "ACTIVATION", "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE", "Cast": "CAST",
}  # fmt: skip
#: Flags that a weakly typed network needs, and a strongly typed one refuses.
_WEAK = {"HALF": "FP16", "BF16": "BF16", "INT8": "INT8"}
_STRONG_FROM, _PLUGIN_FIRST_FROM = (11, 0), (10, 7)


def builder_parts(generation: str, **faults: Any) -> dict[str, type]:
    """Classes for `fake_tensorrt(more=...)`. faults: `build_error` = a line of the log in place of an engine."""
    parts = (
        Builder, INetworkDefinition, ILayer, ITensor, OnnxParser, ParserError, IBuilderConfig, IOptimizationProfile,
        ITimingCache, IProgressMonitor,
    )  # fmt: skip
    return {part.__name__: type(part.__name__, (part,), {"_faults": faults}) for part in parts}


class _Part:
    _trt: Any
    _faults: Mapping[str, Any]

    @property
    def _version(self) -> tuple[int, int]:
        major, minor = self._trt.__version__.split(".")[:2]
        return int(major), int(minor)

    @property
    def _rtx(self) -> bool:
        return self._trt.__name__ == "tensorrt_rtx"


class ITensor(_Part):
    """Name, type and shape."""

    def __init__(self, name: str, dtype: Any, shape: Sequence[int] = ()) -> None:
        self.name, self.dtype, self.shape = name, dtype, tuple(shape)


class ILayer(_Part):
    """One node. `precision` and `set_output_type` are there where the listing has them."""

    def __init__(self, kind: Any, inputs: list[Any], outputs: list[Any]) -> None:
        self.type = kind
        self._inputs, self._outputs, self._constraint, self._output_type = inputs, outputs, None, None

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return self._outputs[index]

    @property
    def precision(self) -> Any:
        return self._constraint

    @precision.setter
    def precision(self, value: Any) -> None:
        self._constraint = value

    def set_output_type(self, index: int, dtype: Any) -> None:
        assert index == 0
        self._output_type = dtype


class INetworkDefinition(_Part):
    """What the parser made."""

    def __init__(self, strong: bool) -> None:
        self._strong = strong
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._layers: list[Any] = []

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> Any:
        return self._layers[index]

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, index: int) -> Any:
        return self._inputs[index]


class ParserError(_Part):
    """Why a file was refused."""

    def __init__(self, text: str, node: onnx.NodeProto) -> None:
        self._text, self._node = text, node

    def desc(self) -> str:
        return self._text

    def node_operator(self) -> str:
        return self._node.op_type

    def node_name(self) -> str:
        return self._node.name


class OnnxParser(_Part):
    """One layer for each node; a scan is a plugin, its function, or an error."""

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network
        self._errors: list[tuple[str, onnx.NodeProto]] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._trt.ParserError(*self._errors[index])

    def parse_from_file(self, model: str) -> bool:
        return self._parsed(onnx.load(model))

    def parse(self, model: bytes, path: str | None = None) -> bool:
        return self._parsed(onnx.load_model_from_string(model))

    def _parsed(self, model: onnx.ModelProto) -> bool:
        types = element_types(model)
        shapes = {value.name: _dims(value) for value in (*model.graph.input, *model.graph.output)}

        def tensor(name: str) -> Any:
            return self._trt.ITensor(name, self._trt.DataType[_KINDS[types[name]]], shapes.get(name, ()))

        self._network._inputs += [tensor(value.name) for value in model.graph.input]
        self._network._outputs += [tensor(value.name) for value in model.graph.output]
        for node in model.graph.node:
            kind = self._kind(node, model)
            if kind is None:
                self._errors.append((f"Plugin not found: {node.op_type}", node))
                return False
            ends = [[tensor(name) for name in names if name] for names in (node.input, node.output)]
            self._network._layers.append(self._trt.ILayer(self._trt.LayerType[kind], *ends))
        return True

    def _kind(self, node: onnx.NodeProto, model: onnx.ModelProto) -> str | None:
        if node.domain != "mambapro":
            return _LAYERS.get(node.op_type, "SHUFFLE")
        first = self._rtx or self._version >= _PLUGIN_FIRST_FROM or not model.functions
        asked = any(attribute.name == "plugin_namespace" for attribute in node.attribute)
        if self._trt.get_plugin_registry().all_creators and first and asked:
            return "PLUGIN_V3"
        return "LOOP_OUTPUT" if model.functions else None


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]


class IOptimizationProfile(_Part):
    """Shapes of the inputs."""

    def __init__(self) -> None:
        self._shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:  # noqa: A002
        self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]


class ITimingCache(_Part):
    """Timings by what was timed."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        self._found |= input_cache._found
        return True

    def serialize(self) -> bytes:
        return json.dumps(self._found).encode()


class IProgressMonitor(_Part):
    """What a Python monitor derives from."""

    def __init__(self) -> None:
        self._made = True


class IBuilderConfig(_Part):
    """Everything that was said."""

    def __init__(self) -> None:
        self._flags = {"TF32"}
        self._profiles: list[Any] = []
        self._pools: dict[str, int] = {}
        self._cache: Any = None
        self._capabilities: list[Any] = []
        self.progress_monitor: Any = None
        self.plugins_to_serialize: list[str] = []
        self.hardware_compatibility_level = self._trt.HardwareCompatibilityLevel.NONE

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool.name] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
        try:
            return self._trt.ITimingCache(json.loads(serialized_timing_cache or b"{}"))
        except ValueError:
            return None

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache

    @property
    def num_compute_capabilities(self) -> int:
        return len(self._capabilities)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, number: int) -> None:
        self._capabilities = [None] * number

    def set_compute_capability(self, capability: Any, index: int) -> bool:
        self._capabilities[index] = capability
        return True


class Builder(_Part):
    """Makes plans."""

    def __init__(self, logger: Any) -> None:
        assert getattr(logger, "_made", False), "ILogger.__init__ was not called: the bindings would crash"
        self._log = logger

    def create_network(self, flags: int = 0) -> Any:
        strong = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return self._trt.INetworkDefinition(self._rtx or self._version >= _STRONG_FROM or bool(flags & strong))

    def create_builder_config(self) -> Any:
        return self._trt.IBuilderConfig()

    def create_optimization_profile(self) -> Any:
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if why := self._faults.get("build_error") or self._refused(network, config):
            self._log.log(self._trt.ILogger.ERROR, why)
            return None
        self._show_progress(config.progress_monitor)
        if config._cache is not None:
            config._cache._found[f"timing of {network.num_layers} layers"] = 1.0
        profiles = [self._batches(network, profile) for profile in config._profiles]
        return plan(
            *({x.name: (x.dtype.name, x.shape) for x in ends} for ends in (network._inputs, network._outputs)),
            profiles=profiles,
            plugin=any(layer.type.name == "PLUGIN_V3" for layer in network._layers),
            version=self._trt.__version__,
            built=self._told(network, config),
        )

    def _refused(self, network: Any, config: Any) -> str | None:
        held = {x.dtype.name for layer in network._layers for x in layer._outputs}
        needed = {flag for kind, flag in _WEAK.items() if kind in held}
        if network._strong and config._flags & set(_WEAK.values()):
            return "Precision flags cannot be set for a strongly typed network."
        if not network._strong and needed - config._flags:
            return f"The network holds types without their flags: {sorted(needed - config._flags)}."
        dynamic = {x.name for x in network._inputs if -1 in x.shape}
        if not config._profiles or any(not dynamic <= set(p._shapes) for p in config._profiles):
            return "Network has dynamic or shape inputs, but no optimization profile has been defined."
        return None

    @staticmethod
    def _batches(network: Any, profile: Any) -> tuple[int, int, int]:
        shapes = profile._shapes[network._inputs[0].name]
        return shapes[0][0], shapes[1][0], shapes[2][0]

    @staticmethod
    def _show_progress(monitor: Any) -> None:
        assert monitor is None or getattr(monitor, "_made", False), "IProgressMonitor.__init__ was not called"
        if monitor is None:
            return
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 4)
        for step in range(4):
            assert monitor.step_complete("Timing", step) is True
        monitor.phase_finish("Timing")
        for step in range(2):
            assert monitor.step_complete("Building", step) is True
        monitor.phase_finish("Building")

    def _told(self, network: Any, config: Any) -> dict[str, Any]:
        constraints = [
            layer.type.name
            for layer in network._layers
            if layer._constraint is not None and layer._output_type == layer._constraint
        ]
        return {
            "strong": network._strong,
            "flags": sorted(config._flags),
            "pools": config._pools,
            "hardware": config.hardware_compatibility_level.name,
            "serialized": list(config.plugins_to_serialize),
            "capabilities": [capability.name for capability in config._capabilities],
            "constraints": sorted(set(constraints)),
            "constrained": len(constraints),
        }
