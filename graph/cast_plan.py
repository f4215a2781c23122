"""Choice of the nodes of a float32 graph that compute in float16 or bfloat16.

A node computes in the low type or in float32. Data-movement operators (Reshape, Concat, ...) compute nothing and follow
their inputs. LayerNormalization and the like are islands: float32 inside, low around them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from ..errors import InputError
from ..plugins.selective_scan.schema import DOMAIN
from ..runtime.bundle.module_roles import below
from .module_roles import roles_of
from .value_types import module_of, schema_of, takes

LOW_TYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_NORMS = ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization")
_SQUARES = ("ReduceL2", "ReduceSumSquare")
_EXPONENTIALS = ("Exp", "Log", "LogSoftmax", "ReduceLogSumExp", "Softmax", "Softplus")
#: Operators that stay float32 wherever they stand.
ISLAND_OPERATORS = (*_NORMS, *_SQUARES, *_EXPONENTIALS)
#: What the model itself computes outside its modules is float32 too (the pixels' normalization, the mean over tokens),
#: but for the projection after the backbone.
PRODUCTS = ("MatMul", "Gemm", "Conv")
_SHAPING = ("Concat", "Expand", "Flatten", "Identity", "Reshape", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze")
_CHOOSING = ("Gather", "GatherElements", "GatherND", "Slice", "Where")
_COMPARING = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
MOVING_OPERATORS = (*_SHAPING, *_CHOOSING, *_COMPARING)


@dataclass(frozen=True)
class TypePlan:
    """Nodes of a float32 graph that compute in the low type, and values that are stored in it.

    Attributes:
        dtype: the low type.
        nodes: that compute in the low type.
        values: outputs of nodes in the low type.
    """

    dtype: ir.DataType
    nodes: frozenset[ir.Node]
    values: frozenset[ir.Value]


def plan_types(model: ir.Model, precision: str, keep: Collection[str] = ()) -> TypePlan:
    """Choose where the low type goes.

    Args:
        model: the float32 graph from `with_types`, with the modules of its nodes.
        precision: "fp16" or "bf16".
        keep: modules that stay float32 with all that is below them; "" is what the model computes outside its modules.

    Raises:
        InputError: another precision, a name in `keep` that no module has, or a graph that is typed or quantized.
    """
    if precision not in LOW_TYPES:
        raise InputError(f"Typed ONNX is made in {' or '.join(LOW_TYPES)}, not in {precision!r}.")
    _check_float32(model.graph)
    _check_keep(model.graph, keep)
    dtype, keep = LOW_TYPES[precision], (*roles_of(model).float32, *keep)
    full = set(model.graph.inputs)
    low_nodes: set[ir.Node] = set()
    low_values: set[ir.Value] = set()
    for node in model.graph:
        stays, moves = _stays(node, keep), moves_only(node)
        read = {value for value in node.inputs if is_float(value) and not value.is_initializer()}
        follows = not read & full and not (stays and not read)
        low = follows if moves else not stays and _computes_low(node, dtype)
        outputs = set(filter(is_float, node.outputs))
        if low:
            low_nodes.add(node)
            low_values |= outputs
        elif stays or moves:
            # what an island among low nodes returns is float32 too, but a node that moves it may round it
            full |= outputs
    return TypePlan(dtype, frozenset(low_nodes), frozenset(low_values))


def moves_only(node: ir.Node) -> bool:
    """Return whether a node computes nothing and takes the type of its inputs."""
    return node.domain != DOMAIN and node.op_type in MOVING_OPERATORS


def is_float(value: ir.Value | None) -> bool:
    """Return whether a value is float32; False for an input that is left out."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def _check_float32(graph: ir.Graph) -> None:
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph):
        raise InputError(
            "This graph is quantized already. Give it its types first and quantize then: scales that were made for "
            "float32 would be rounded under the weights that were divided by them."
        )
    values = (*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs))
    if {value.dtype for value in values} & set(LOW_TYPES.values()):
        raise InputError("This graph is typed already; start from the float32 one.")


def _check_keep(graph: ir.Graph, keep: Collection[str]) -> None:
    modules = {module for node in graph if (module := module_of(node)) is not None}
    unknown = [name for name in keep if not any(below(module, name) for module in modules)]
    if unknown:
        known = sorted({".".join(module.split(".")[:3]) for module in modules if module})
        raise InputError(f"No module of the model is called {', '.join(unknown)}. There are {', '.join(known)}, ...")


def _stays(node: ir.Node, keep: Collection[str]) -> bool:
    module = module_of(node)
    if module is None:
        return False
    if not module and node.op_type not in PRODUCTS:
        return True
    return any(below(module, name) for name in keep)


def _computes_low(node: ir.Node, dtype: ir.DataType) -> bool:
    if node.domain == DOMAIN:
        return True
    if node.op_type in ISLAND_OPERATORS or node.op_type in ("Cast", "Constant", "ConstantOfShape"):
        return False
    schema = schema_of(node)
    # Conv, for example, takes bfloat16 from opset 22 only
    return bool(schema.outputs) and takes(schema, schema.outputs[0], dtype)
