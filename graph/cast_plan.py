"""Which parts of a float32 graph compute in float16 or bfloat16.

A node computes in the low type or in float32. Nodes that only move numbers (reshapes, concatenations, ...) compute
nothing and follow what they are given. LayerNormalization and the like are islands: float32 inside, low around them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from ..errors import InputError
from ..plugins.selective_scan.schema import DOMAIN
from ..runtime.bundle.module_roles import below
from .module_roles import roles_of
from .value_types import element_types, module_of, schema_of, standard_opset, takes

LOW_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_NORMS = ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization")
_SQUARES = ("ReduceL2", "ReduceSumSquare")
_EXPONENTIALS = ("Exp", "Log", "LogSoftmax", "ReduceLogSumExp", "Softmax", "Softplus")
#: Operators that stay float32 wherever they stand.
ISLAND_OPERATORS = (*_NORMS, *_SQUARES, *_EXPONENTIALS)
#: What the model itself computes outside its modules is float32 too (the pixels' normalisation, the mean over tokens),
#: but for the projection after the backbone.
PRODUCTS = ("MatMul", "Gemm", "Conv")
_SHAPING = ("Concat", "Expand", "Flatten", "Identity", "Reshape", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze")
_CHOOSING = ("Gather", "GatherElements", "GatherND", "Slice", "Where")
_COMPARING = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
MOVING_OPERATORS = (*_SHAPING, *_CHOOSING, *_COMPARING)
_FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class TypePlan:
    """Which nodes of a float32 graph compute in the low type, and which values are stored in it.

    Attributes:
        element: TensorProto's number of the low type.
        low_nodes: for each node, in the graph's order, whether it computes in the low type.
        low_values: names of the values that nodes hand on in the low type.
        types: element type of every value of the float32 graph.
    """

    element: int
    low_nodes: tuple[bool, ...]
    low_values: frozenset[str]
    types: dict[str, int]


def plan_types(model: onnx.ModelProto, precision: str, keep: Collection[str] = ()) -> TypePlan:
    """Decide where the low type goes.

    Args:
        model: the float32 graph, with the modules of its nodes.
        precision: "fp16" or "bf16".
        keep: modules that stay float32 with all that is below them; "" is what the model computes outside its modules.

    Raises:
        InputError: another precision, a name in `keep` that no module has, or a graph that is typed or quantized.
        ExportError: the graph holds what this does not know.
    """
    if precision not in LOW_TYPES:
        raise InputError(f"Typed ONNX is made in {' or '.join(LOW_TYPES)}, not in {precision!r}.")
    types = element_types(model)
    _check_float32(model, types)
    _check_keep(model, keep)
    element, opset = LOW_TYPES[precision], standard_opset(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    keep = (*roles_of(model).float32, *keep)
    full = {value.name for value in model.graph.input}
    low_values: set[str] = set()
    low_nodes = []
    for node in model.graph.node:
        stays, moves = _stays(node, keep), moves_only(node)
        read = {name for name in node.input if types.get(name) == _FLOAT and name not in constants}
        if moves:
            low = not read & full and not (stays and not read)
        else:
            low = not stays and _computes_low(node, element, opset)
        low_nodes.append(low)
        outputs = {name for name in node.output if types.get(name) == _FLOAT}
        if low:
            low_values |= outputs
        elif stays or moves:
            # what an island among low nodes returns is float32 too, but a node that moves it may round it
            full |= outputs
    return TypePlan(element, tuple(low_nodes), frozenset(low_values), types)


def moves_only(node: onnx.NodeProto) -> bool:
    """Whether a node computes nothing and takes the type of what it is given."""
    return node.domain != DOMAIN and node.op_type in MOVING_OPERATORS


def _check_float32(model: onnx.ModelProto, types: dict[str, int]) -> None:
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise InputError(
            "This graph is quantized already. Give it its types first and quantize then: scales that were made for "
            "float32 would be rounded under the weights that were divided by them."
        )
    if set(types.values()) & set(LOW_TYPES.values()):
        raise InputError("This graph is typed already; start from the float32 one.")


def _check_keep(model: onnx.ModelProto, keep: Collection[str]) -> None:
    modules = {module for node in model.graph.node if (module := module_of(node)) is not None}
    unknown = [name for name in keep if not any(below(module, name) for module in modules)]
    if unknown:
        known = sorted({".".join(module.split(".")[:3]) for module in modules if module})
        raise InputError(f"No module of the model is called {', '.join(unknown)}. There are {', '.join(known)}, ...")


def _stays(node: onnx.NodeProto, keep: Collection[str]) -> bool:
    module = module_of(node)
    if module is None:
        return False
    if not module and node.op_type not in PRODUCTS:
        return True
    return any(below(module, name) for name in keep)


def _computes_low(node: onnx.NodeProto, element: int, opset: int) -> bool:
    if node.domain == DOMAIN:
        return True
    if node.op_type in ISLAND_OPERATORS or node.op_type in ("Cast", "Constant", "ConstantOfShape"):
        return False
    schema = schema_of(node, opset)
    # Conv, for example, takes bfloat16 from opset 22 only
    return bool(schema.outputs) and takes(schema, schema.outputs[0], element)
