"""Float32 ONNX to typed ONNX: weights and products in float16 or bfloat16, islands in float32, casts between them.

The types stand in the file, as every runtime wants it since TensorRT 11. Nothing is exported again: the graph, the
names of its values and the modules of its nodes stay, and only Casts come in, one for each value and type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from ..common.foreign_text import escaped
from ..errors import ExportError, InputError
from ..plugins.selective_scan.schema import DOMAIN, INPUTS, PARAMETERS
from ..runtime.bundle.artifact import ONNXRUNTIME, OPENVINO, TENSORRT, TENSORRT_RTX
from .cast_plan import TypePlan, is_float, plan_types
from .value_types import schema_of, takes, with_types

#: The largest finite float16; bfloat16 ends where float32 does.
FLOAT16_MAX = 65504.0
_FLOAT = ir.DataType.FLOAT


def require_runs_on(target: str, precision: str) -> None:
    """Refuse a precision that a target has no arithmetic for.

    Raises:
        InputError: bf16 on ONNX Runtime, whose CPU has no matrix product in it.
    """
    if (target, precision) == (ONNXRUNTIME, "bf16"):
        raise InputError(
            "ONNX Runtime has no bf16 matrix product on CPUs. For bf16 take "
            f"--target {OPENVINO} (which computes the fp32 file in bf16), {TENSORRT} or {TENSORRT_RTX}; "
            f"for {ONNXRUNTIME} take fp16 or int8."
        )


def typed(model: onnx.ModelProto, precision: str, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a copy of a float32 model that computes in float16 or bfloat16, but for its islands.

    Inputs and outputs keep names, types and shapes; so do the values inside, but for their element type.

    Args:
        model: as `onnx_from_model` returns it; it is not changed.
        precision: "fp16" or "bf16". In bf16 convolutions stay float32: ONNX has no other before opset 22.
        keep: modules that stay float32, such as "backbone.layers.7.mlp", with all that is below them.

    Raises:
        InputError: another precision, a name in `keep` that no module has, or a graph that is typed or quantized.
        ExportError: a weight does not fit into float16, or the graph holds an operator of unknown types.
    """
    result = with_types(model)
    plan = plan_types(result, precision, keep)
    _Casts(result.graph, plan, precision).insert()
    return ir.to_proto(result)


class _Casts:
    """Casts of a graph by a plan, one for each value and type, in front of the first node that reads it."""

    def __init__(self, graph: ir.Graph, plan: TypePlan, precision: str) -> None:
        self.graph, self.plan, self.precision = graph, plan, precision
        #: (value, element type) -> the value that holds it in that type
        self.cast: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def insert(self) -> None:
        """Insert all casts and convert the weights."""
        reads = {node: list(_float_inputs(node, self.plan)) for node in self.graph}
        self._convert_weights(reads)
        for value in self.plan.values:
            value.dtype = self.plan.dtype
        for node, inputs in reads.items():
            for i, dtype in inputs:
                value = node.inputs[i]
                if value.dtype != dtype and (value, dtype) not in self.cast:
                    name = f"{value.name}_{'fp32' if dtype == _FLOAT else self.precision}"
                    cast = _cast_node(value, name, dtype, node)
                    self.graph.insert_before(node, cast)
                    self.cast[value, dtype] = cast.outputs[0]
                node.replace_input_with(i, self.cast.get((value, dtype), value))
            for value in node.outputs:
                if value.is_graph_output() and value in self.plan.values:
                    self._restore(value, node)

    def _convert_weights(self, reads: dict[ir.Node, list[tuple[int, ir.DataType]]]) -> None:
        """Put weights into the low type; those that are read in both types get a copy."""
        low = self.plan.dtype
        dtypes: dict[ir.Value, set[ir.DataType]] = {}
        for node, inputs in reads.items():
            for i, dtype in inputs:
                if node.inputs[i].is_initializer():
                    dtypes.setdefault(node.inputs[i], set()).add(dtype)
        for value, read in dtypes.items():
            if read == {low}:
                value.const_value, value.dtype = _converted(value.const_value, low, value.name), low
            elif low in read:
                name = f"{value.name}_{self.precision}"
                tensor = _converted(value.const_value, low, name)
                copy = ir.Value(name=name, shape=value.shape, type=ir.TensorType(low), const_value=tensor)
                self.graph.register_initializer(copy)
                self.cast[value, low] = copy

    def _restore(self, value: ir.Value, node: ir.Node) -> None:
        """Cast an output of the graph to float32 again, under its own name."""
        name = value.name
        value.name = f"{name}_{self.precision}"
        cast = _cast_node(value, name, _FLOAT, node)
        self.graph.insert_after(node, cast)
        self.cast[value, _FLOAT] = cast.outputs[0]
        self.graph.outputs[self.graph.outputs.index(value)] = cast.outputs[0]


def _float_inputs(node: ir.Node, plan: TypePlan) -> Iterator[tuple[int, ir.DataType]]:
    """Yield position and planned element type of every float input of a node."""
    dtype = plan.dtype if node in plan.nodes else _FLOAT
    if node.domain == DOMAIN:
        yield from ((i, _FLOAT if name in PARAMETERS else dtype) for i, name in enumerate(INPUTS))
        return
    schema = schema_of(node)
    for i, value in enumerate(node.inputs):
        # a Cast reads any type
        if is_float(value) and not (node.op_type == "Cast" and value in plan.values):
            # the last formal parameter of a variadic operator repeats
            fits = takes(schema, schema.inputs[min(i, len(schema.inputs) - 1)], dtype)
            yield i, dtype if fits else _FLOAT


def _cast_node(value: ir.Value, name: str, dtype: ir.DataType, node: ir.Node) -> ir.Node:
    """Return a Cast of a value that belongs to the module of `node`."""
    output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype))
    attributes = [ir.AttrInt64("to", dtype.value)]
    return ir.Node(
        "", "Cast", [value], attributes, outputs=[output], name=f"cast/{name}", metadata_props=dict(node.metadata_props)
    )


def _converted(tensor: ir.TensorProtocol, dtype: ir.DataType, name: str) -> ir.TensorProtocol:
    """Return a weight in the low type, rounded to nearest when the file is written.

    Raises:
        ExportError: it does not fit.
    """

    def rounded() -> np.ndarray:
        with np.errstate(over="ignore"):
            return tensor.numpy().astype(dtype.numpy())

    values = tensor.numpy()
    if dtype == ir.DataType.FLOAT16 and not np.array_equal(np.isfinite(rounded()), np.isfinite(values)):
        raise ExportError(
            f"The weight {escaped(name)} reaches {np.abs(values).max():.3g}, but float16 ends at {FLOAT16_MAX:.0f}. "
            "Keep its module in float32."
        )
    return ir.LazyTensor(lambda: ir.tensor(rounded()), dtype, tensor.shape, name=name)
