"""Int8 as ONNX says it: QuantizeLinear and DequantizeLinear around the inputs of the chosen layers.

One pair stands on each input tensor, shared by all layers that read it; weights are stored as int8 with a scale for
each output channel. Outputs, residual adds and everything between stay in floating point, as the measurements ask.
The grid is -127..127, symmetric, in every layout; what a runtime's fusions want beyond that is in LAYOUTS.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import ArtifactError, InputError
from .layers import CONV, Point, points
from .scales import LEVELS, ScaleTable
from .smooth import folded

log = logging.getLogger("mambapro")

ONNXRUNTIME, OPENVINO, TENSORRT = "onnxruntime", "openvino", "tensorrt"


@dataclass(frozen=True)
class Layout:
    """What a runtime's fusions want. `convolutions`: whether it computes them in int8 when only the input is quantised.

    int8 activations around 0 suit all: ONNX Runtime makes uint8 around 128 of them itself where the processor likes
    that better, OpenVINO is as fast either way, and TensorRT takes nothing else.
    """

    convolutions: bool


LAYOUTS = {
    # its int8 convolution wants a quantised output as well; without one it computes in float32 on rounded values
    ONNXRUNTIME: Layout(convolutions=False),
    OPENVINO: Layout(convolutions=True),
    TENSORRT: Layout(convolutions=True),
}

#: The first opset whose QuantizeLinear takes float16.
_HALF_SCALES = 19


def quantized(
    model: onnx.ModelProto, table: ScaleTable, layout: str, modules: Collection[str] | None = None
) -> onnx.ModelProto:
    """A copy of `model` whose layers compute in int8. The model itself is left alone.

    Args:
        model: float32 or float16 export.
        table: its scales.
        layout: one of LAYOUTS.
        modules: names of the layers; None = all that `points` finds and the table has a scale for. Those that the
            layout leaves alone stay as they are: `int8_points` says which do not.

    Raises:
        InputError: an unknown layout or module.
        ArtifactError: the table is of another model or has no scale for one of `modules`, or the model cannot be
            quantised.
    """
    _check_opset(model)
    found = points(model)
    chosen = int8_points(found, layout, modules)
    if modules is None:
        chosen = with_scales(chosen, table)
    changed = folded(model, found, table, {point.module for point in chosen})
    result = onnx.ModelProto()
    _copy_fields(model, result, {"graph"})
    _copy_fields(model.graph, result.graph, {"node", "initializer"})
    writer = _Writer(model, result.graph, table, changed)
    writer.write(chosen)
    onnx.checker.check_model(result)
    return result


def _check_opset(model: onnx.ModelProto) -> None:
    opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    if opset < _HALF_SCALES:
        raise ArtifactError(
            f"The model has opset {opset}; int8 needs {_HALF_SCALES} or newer. Export the checkpoint again."
        )


def int8_points(found: tuple[Point, ...], layout: str, modules: Collection[str] | None = None) -> tuple[Point, ...]:
    """Which of the points compute in int8 in a layout, where `modules` (None = all) were asked for.

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
    fit = [point for point in found if LAYOUTS[layout].convolutions or point.kind != CONV]
    return tuple(point for point in fit if modules is None or point.module in modules)


def with_scales(chosen: tuple[Point, ...], table: ScaleTable, insisted: Collection[str] = ()) -> tuple[Point, ...]:
    """The points without those whose input never changed in calibration, with a warning: they stay in float.

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


def _copy_fields(source: Any, target: Any, left_out: set[str]) -> None:
    """Copy a message without some of its fields: a copy of the whole would hold the weights twice."""
    for descriptor, value in source.ListFields():
        if descriptor.name in left_out:
            continue
        if isinstance(value, str | bytes | int | float):
            setattr(target, descriptor.name, value)
        elif hasattr(value, "extend"):
            getattr(target, descriptor.name).extend(value)
        else:
            getattr(target, descriptor.name).CopyFrom(value)


class _Writer:
    """Nodes and initializers of the quantised graph. `changed` are initializers that smoothing gave new values."""

    def __init__(
        self,
        model: onnx.ModelProto,
        graph: onnx.GraphProto,
        table: ScaleTable,
        changed: dict[str, np.ndarray],
    ) -> None:
        self.source, self.graph, self.table, self.changed = model.graph, graph, table, changed
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def write(self, chosen: tuple[Point, ...]) -> None:
        """The whole graph, with the chosen layers quantised."""
        by_node = {point.node: point for point in chosen}
        inputs: dict[str, str] = {}
        weights: dict[str, str] = {}
        for node in self.source.node:
            point = by_node.get(node.name)
            if point is None:
                self.graph.node.add().CopyFrom(node)
                continue
            if point.input not in inputs:
                inputs[point.input] = self._activation(point)
            if point.weight not in weights:
                weights[point.weight] = self._weight(point)
            copy = self.graph.node.add()
            copy.CopyFrom(node)
            copy.input[0], copy.input[1] = inputs[point.input], weights[point.weight]
        self._keep_initializers()

    def _activation(self, point: Point) -> str:
        """A pair on the layer's input; the name of what comes out."""
        dtype = helper.tensor_dtype_to_np_dtype(self.weights[point.weight].data_type)
        scale = stored_scale(np.array(self.table.of(point.module).scale), dtype)
        base = f"{point.input}/int8"
        self._add(f"{base}/scale", scale)
        self._add(f"{base}/zero", np.array(np.int8(0)))
        rest = [f"{base}/scale", f"{base}/zero"]
        self._node("QuantizeLinear", [point.input, *rest], base)
        self._node("DequantizeLinear", [base, *rest], f"{base}/value")
        return f"{base}/value"

    def _weight(self, point: Point) -> str:
        """The layer's weight as int8; the name of its value."""
        whole, scale = int8_weight(self._value(point.weight), point.axis, self._dtype(point.weight))
        base = f"{point.weight}/int8"
        self._add(base, whole)
        self._add(f"{base}/scale", scale)
        self._add(f"{base}/zero", np.zeros(len(scale), np.int8))
        node = self._node("DequantizeLinear", [base, f"{base}/scale", f"{base}/zero"], f"{base}/value")
        node.attribute.append(helper.make_attribute("axis", point.axis))
        return f"{base}/value"

    def _dtype(self, name: str) -> np.dtype:
        return helper.tensor_dtype_to_np_dtype(self.weights[name].data_type)

    def _value(self, name: str) -> np.ndarray:
        changed = self.changed.get(name)
        return numpy_helper.to_array(self.weights[name]) if changed is None else changed

    def _add(self, name: str, value: np.ndarray) -> None:
        self.graph.initializer.append(numpy_helper.from_array(value, name))

    def _node(self, kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
        self.graph.node.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}"))
        return self.graph.node[-1]

    def _keep_initializers(self) -> None:
        """What is still read, with the values that smoothing gave it."""
        read = {name for node in self.graph.node for name in node.input}
        read |= {name for node in self.graph.node for name in _captured(node)}
        for tensor in self.source.initializer:
            if tensor.name not in read:
                continue
            if tensor.name in self.changed:
                self._add(tensor.name, self.changed[tensor.name].astype(self._dtype(tensor.name)))
            else:
                self.graph.initializer.add().CopyFrom(tensor)


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the bodies inside a node read from the graph around them."""
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else list(attribute.graphs)
        for graph in graphs:
            for inner in graph.node:
                yield from inner.input
                yield from _captured(inner)


def stored_scale(scale: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Scales in the type that the file holds them in: rounded up, so that the largest value is not clipped."""
    rounded = scale.astype(dtype)
    low = rounded.astype(np.float64) < scale
    return np.where(low, np.nextafter(rounded, np.array(np.inf, dtype)), rounded).astype(dtype)


def int8_weight(weight: np.ndarray, axis: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A weight as int8 in -127..127 of the same shape, and the scale (channels,) of each channel of `axis`.

    A channel of zeros gets the scale 1.
    """
    values = weight.astype(np.float32)
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others).astype(np.float64)
    scale = stored_scale(np.where(largest > 0, largest / LEVELS, 1.0), dtype)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    whole = np.clip(np.rint(values / scale.astype(np.float32).reshape(shape)), -LEVELS, LEVELS)
    return whole.astype(np.int8), scale
