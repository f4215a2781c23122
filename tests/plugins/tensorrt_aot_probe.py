"""Drives the ahead-of-time plugin the way TensorRT's builder does, and prints what it answers as JSON.

    python tensorrt_aot_probe.py FOLDER '[{"kind": "HALF", "shape": [2, 7, 12, 3, 4], "changes": {"B": "FLOAT"}}]'

The plugin object and everything it calls are TensorRT's own Python code on stand-in libraries (tensorrt_on_stubs.py).
Only dimension expressions, which are C++, are numbers here that know whether the builder would know them.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mambapro.errors import InputError
from mambapro.plugins.selective_scan import tensorrt_aot
from mambapro.plugins.selective_scan.tensorrt_rules import NAME, NAMESPACE, PARAMETERS, TENSORS
from tensorrt_on_stubs import import_tensorrt


class Number(int):
    """A dimension expression."""

    fixed = True

    def is_constant(self) -> bool:
        return self.fixed

    def get_constant_value(self) -> int:
        return int(self)


class Builder:
    """TensorRT's IExprBuilder for numbers."""

    def __init__(self, trt: Any) -> None:
        names = trt.DimensionOperation
        self.operations = {
            names.SUM: lambda a, b: a + b,
            names.PROD: lambda a, b: a * b,
            names.FLOOR_DIV: lambda a, b: a // b,
            names.CEIL_DIV: lambda a, b: -(-a // b),
        }

    def constant(self, value: int) -> Number:
        return value if isinstance(value, Number) else Number(value)

    def operation(self, operation: Any, first: Number, second: Number) -> Number:
        result = Number(self.operations[operation](int(first), int(second)))
        result.fixed = first.fixed and second.fixed
        return result


def shapes(batch: int, length: int, channels: int, groups: int, state: int) -> list[tuple[int, ...]]:
    """Of the seven inputs and the output."""
    u, b = (batch, length, channels), (batch, length, groups, state)
    return [u, u, (channels, state), b, b, (channels,), (channels,), u]


def expressions(shape: tuple[int, ...]) -> list[Number]:
    """A shape with the builder's knowledge: the batch, and nothing else, comes with the call."""
    numbers = [Number(size) for size in shape]
    numbers[0].fixed = len(shape) < 3
    return numbers


def described(trt: Any, kinds: list[Any], all_shapes: list[tuple[int, ...]]) -> list[Any]:
    """What TensorRT tells of the tensors it has chosen types and formats for."""
    descs = []
    for kind, shape in zip(kinds, all_shapes, strict=True):
        desc = trt.DynamicPluginTensorDesc()
        desc.desc.dims = (-1, *shape[1:]) if len(shape) > 2 else shape
        desc.desc.type, desc.desc.format = kind, trt.TensorFormat.LINEAR
        desc.min, desc.opt, desc.max = shape, shape, shape
        descs.append(desc)
    return descs


def probe(trt: Any, kind: str, sizes: list[int], changes: dict[str, str]) -> dict[str, Any]:
    """Everything the builder would learn from the plugin for a u of `kind`; `changes` gives inputs other types."""
    classes = importlib.import_module("tensorrt.plugin._plugin_class")
    library = importlib.import_module("tensorrt.plugin._lib")
    definition = library.QDP_REGISTRY[f"{NAMESPACE}::{NAME}"]
    plugin = classes._TemplateAOTPlugin(NAME, NAMESPACE, definition.num_outputs)
    plugin.init(definition.register_func, {}, [], definition.aot_impl_func, [], definition.autotune_func)
    names = {name: "FLOAT" if name in PARAMETERS else kind for name in TENSORS} | changes
    kinds = [getattr(trt.DataType, names[name]) for name in TENSORS]
    all_shapes = shapes(*sizes)
    found: dict[str, Any] = {}
    found["output"] = [x.name for x in plugin.get_output_data_types(kinds[:7], [len(x) for x in all_shapes[:7]])]
    out = plugin.get_output_shapes([expressions(x) for x in all_shapes[:7]], [], Builder(trt))
    found["shape"] = [int(x) for x in out[0]]
    tensors = described(trt, kinds, all_shapes)
    combinations = plugin.get_supported_format_combinations(tensors, 7)
    found["combinations"] = [[x.type.name for x in combinations[i : i + 8]] for i in range(0, len(combinations), 8)]
    found["formats"] = sorted({x.format.name for x in combinations})
    plugin.configure_plugin(tensors[:7], tensors[7:])
    found["kernels"] = {lanes: kernel(trt, plugin, tensors, lanes) for lanes in sorted(plugin.get_valid_tactics())}
    return found


def kernel(trt: Any, plugin: Any, tensors: list[Any], lanes: int) -> dict[str, Any]:
    """Name, PTX and launch of the kernel for a tactic."""
    plugin.set_tactic(lanes)
    launch, scalars = SimpleNamespace(), {}
    setter = type("Setter", (), {"__setitem__": lambda self, i, value: scalars.__setitem__(i, int(value))})()
    plugin.get_launch_params([], tensors, 7, launch, setter, Builder(trt))
    name, ptx = plugin.get_kernel([x.desc for x in tensors[:7]], [x.desc for x in tensors[7:]])
    numbers = {key: int(value) for key, value in vars(launch).items()}
    return {"name": name, "ptx": ptx.decode(), **numbers, "scalars": [scalars[i] for i in sorted(scalars)]}


def main() -> None:
    trt = import_tensorrt(Path(sys.argv[1]))
    request = json.loads(sys.argv[2])
    tensor = importlib.import_module("tensorrt.plugin._tensor")
    # the two places where Python hands an expression to C++
    tensor.SymExprImpl = lambda symbol: symbol._expr
    trt.DimsExprs = lambda rank: [None] * rank
    tensorrt_aot.define(importlib.import_module("tensorrt.plugin"), lazy=True)
    answers = []
    for one in request:
        try:
            answers.append(probe(trt, one["kind"], one["shape"], one.get("changes", {})))
        except InputError as error:
            answers.append({"error": str(error)})
    sys.stdout.write(json.dumps({"version": trt.__version__, "answers": answers}) + "\n")


if __name__ == "__main__":
    main()
