"""QuantizeLinear and DequantizeLinear (Q/DQ) pairs at the inputs of the layers that compute in int8.

One pair stands on each input tensor, shared by all layers that read it; weights are stored as int8 with a scale for
each output channel. Outputs, residual adds and everything between stay in floating point, as the measurements ask.
The grid is -127..127, symmetric, in every layout; what a runtime's fusions want beyond that is in LAYOUTS.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from ..errors import ArtifactError, InputError
from .layers import CONV, Point, points
from .scales import LEVELS, ScaleTable
from .smooth import folded
from .value_types import as_ir

log = logging.getLogger("mambapro")

ONNXRUNTIME, OPENVINO, TENSORRT = "onnxruntime", "openvino", "tensorrt"


#: Layouts by runtime: whether it computes a convolution in int8 if only the input is quantized. int8 activations
#: around 0 suit all: ONNX Runtime makes uint8 around 128 of them itself where the processor likes that better, OpenVINO
#: is as fast either way, and TensorRT takes nothing else.
LAYOUTS = {
    # its int8 convolution wants a quantized output as well; without one it computes in float32 on rounded values
    ONNXRUNTIME: False,
    OPENVINO: True,
    TENSORRT: True,
}

#: The first opset whose QuantizeLinear takes float16.
_HALF_SCALES = 19


def quantized(
    model: onnx.ModelProto, table: ScaleTable, layout: str, modules: Collection[str] | None = None
) -> onnx.ModelProto:
    """Return a copy of `model` whose layers compute in int8.

    Args:
        model: float32 or float16 export.
        table: its scales.
        layout: one of LAYOUTS.
        modules: names of the layers; None = all that `points` finds and the table has a scale for. Those that the
            layout leaves alone stay as they are: `int8_points` says which do not.

    Raises:
        InputError: an unknown layout or module.
        ArtifactError: the table is of another model or has no scale for one of `modules`, or the model cannot be
            quantized.
    """
    result = as_ir(model)
    _check_opset(result)
    found = points(result)
    chosen = int8_points(found, layout, modules)
    if modules is None:
        chosen = with_scales(chosen, table)
    changed = folded(result, found, table, {point.module for point in chosen})
    _Pairs(result.graph, table, changed).insert(chosen)
    proto = ir.to_proto(result)
    onnx.checker.check_model(proto)
    return proto


def _check_opset(model: ir.Model) -> None:
    opset = model.opset_imports.get("", 0)
    if opset < _HALF_SCALES:
        raise ArtifactError(
            f"The model has opset {opset}; int8 needs {_HALF_SCALES} or newer. Export the checkpoint again."
        )


def int8_points(found: tuple[Point, ...], layout: str, modules: Collection[str] | None = None) -> tuple[Point, ...]:
    """Return the points that compute in int8 in a layout, out of those of `modules` (None = all).

    Raises:
        InputError: an unknown layout or module.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}.")
    unknown = sorted(set(modules or ()) - {point.module for point in found})
    if unknown:
        raise InputError(
            f"These layers are not in the model, or never compute in int8: {', '.join(unknown[:10])}. "
            f"There are {len(found)} that may, such as {found[0].module}."
        )
    fit = [point for point in found if LAYOUTS[layout] or point.kind != CONV]
    return tuple(point for point in fit if modules is None or point.module in modules)


def with_scales(chosen: tuple[Point, ...], table: ScaleTable, insisted: Collection[str] = ()) -> tuple[Point, ...]:
    """Leave out points whose input never changed in calibration, with a warning: they stay in float.

    Raises:
        ArtifactError: one of them is in `insisted`, the names of layers that were asked for one by one.
    """
    constant = [point.module for point in chosen if point.module in table.constant]
    for module in constant:
        if module in insisted:
            table.of(module)
    if constant:
        log.warning("These layers stay in float, their input was constant in calibration: %s.", ", ".join(constant))
    return tuple(point for point in chosen if point.module not in table.constant)


class _Pairs:
    """QuantizeLinear and DequantizeLinear of a graph. `changed` are new values of initializers, by smoothing."""

    def __init__(self, graph: ir.Graph, table: ScaleTable, changed: dict[str, np.ndarray]) -> None:
        self.graph, self.table, self.changed = graph, table, changed
        #: what a chosen layer read before -> what it reads now
        self.int8: dict[ir.Value, ir.Value] = {}

    def insert(self, chosen: tuple[Point, ...]) -> None:
        """Quantize the chosen layers, and remove the initializers that nothing reads any more."""
        nodes = {node.name: node for node in self.graph}
        for point in chosen:
            node = nodes[point.node]
            value, weight = node.inputs[:2]
            dtype = weight.dtype.numpy()
            if value not in self.int8:
                scale = stored_scale(np.array(self.table.of(point.module).scale), dtype)
                self.int8[value] = self._pair(node, value, scale)
            if weight not in self.int8:
                values = self.changed.get(weight.name, weight.const_value.numpy())
                self.int8[weight] = self._weight(node, weight.name, *int8_weight(values, point.axis, dtype), point.axis)
            node.replace_input_with(0, self.int8[value])
            node.replace_input_with(1, self.int8[weight])
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[name]
            elif name in self.changed:
                value.const_value = ir.tensor(self.changed[name].astype(value.dtype.numpy()), name=name)

    def _pair(self, node: ir.Node, value: ir.Value, scale: np.ndarray) -> ir.Value:
        """Insert a pair in front of a node; returns the value that comes out."""
        base = f"{value.name}/int8"
        grid = [self._constant(f"{base}/scale", scale), self._constant(f"{base}/zero", np.array(np.int8(0)))]
        whole = self._node(node, "QuantizeLinear", [value, *grid], base)
        return self._node(node, "DequantizeLinear", [whole, *grid], f"{base}/value")

    def _weight(self, node: ir.Node, name: str, whole: np.ndarray, scale: np.ndarray, axis: int) -> ir.Value:
        """Insert an int8 weight in front of a node; returns its value in floating point."""
        base = f"{name}/int8"
        named = {base: whole, f"{base}/scale": scale, f"{base}/zero": np.zeros(len(scale), np.int8)}
        inputs = [self._constant(key, values) for key, values in named.items()]
        return self._node(node, "DequantizeLinear", inputs, f"{base}/value", [ir.AttrInt64("axis", axis)])

    def _constant(self, name: str, values: np.ndarray) -> ir.Value:
        value = ir.Value(name=name, const_value=ir.tensor(values, name=name))
        self.graph.register_initializer(value)
        return value

    def _node(
        self, before: ir.Node, kind: str, inputs: list[ir.Value], output: str, attributes: Sequence[ir.Attr] = ()
    ) -> ir.Value:
        node = ir.Node("", kind, inputs, attributes, outputs=[ir.Value(name=output)], name=f"{output}/{kind}")
        self.graph.insert_before(before, node)
        return node.outputs[0]


def stored_scale(scale: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return scales in the type of the file, rounded up, so that the largest value is not clipped."""
    rounded = scale.astype(dtype)
    low = rounded.astype(np.float64) < scale
    return np.where(low, np.nextafter(rounded, np.array(np.inf, dtype)), rounded).astype(dtype)


def int8_weight(weight: np.ndarray, axis: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return a weight as int8 in -127..127 of the same shape, and the scale (channels,) of each channel of `axis`.

    A channel of zeros gets the scale 1.
    """
    values = weight.astype(np.float32)
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others).astype(np.float64)
    scale = stored_scale(np.where(largest > 0, largest / LEVELS, 1.0), dtype)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    whole = np.clip(np.rint(values / scale.astype(np.float32).reshape(shape)), -LEVELS, LEVELS)
    return whole.astype(np.int8), scale
