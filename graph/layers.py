"""Which layers of an exported model may compute in int8, by the names of their modules.

Linears and convolutions may. Everything else stays as it is: residual adds, LayerNorm, softmax, the products of the
attention with itself, step size and softplus, the scan and its gate. Of the Linears and convolutions these stay too:

* those that the model excludes (`ModuleRoles.never_int8`).
* grouped convolutions: each output depends on a few inputs, so int8 errors do not average out, and no runtime has a
  kernel for them that is worth it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from ..common.foreign_text import escaped
from ..errors import ArtifactError
from .module_roles import roles_of

MATMUL, GEMM, CONV = "matmul", "gemm", "conv"

#: The property of a node that names its modules, outermost first.
SCOPES = "pkg.torch.onnx.name_scopes"
_KINDS = {"MatMul": MATMUL, "Gemm": GEMM, "Conv": CONV}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class Point:
    """One layer that may be quantised.

    Attributes:
        node: name of the ONNX node.
        module: name of the layer in the trained model, such as "backbone.layers.7.mlp.inner"; unique among the points.
        input: name of the tensor that goes in.
        weight: name of the initializer.
        kind: MATMUL, GEMM or CONV.
        axis: axis of the weight that counts the output channels.
    """

    node: str
    module: str
    input: str
    weight: str
    kind: str
    axis: int


def points(model: onnx.ModelProto) -> tuple[Point, ...]:
    """What may be quantised, in the order of the graph.

    Raises:
        ArtifactError: the nodes do not say which module they belong to, the model is quantised already, or nothing in
            it can be.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type in _FLOATS}
    roles = roles_of(model)
    found: list[Point] = []
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise ArtifactError(
                f"The model is quantised already (node {escaped(node.name)}). Quantise the float32 or "
                "float16 model that it "
                "was made from."
            )
        weight = weights.get(node.input[1]) if node.op_type in _KINDS else None
        axis = _output_axis(node, weight) if weight is not None else None
        if weight is None or axis is None:
            continue
        name = module_of(node, weight.name)
        if roles.stays_float(name):
            continue
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
        found.append(Point(node.name, unique, node.input[0], weight.name, _KINDS[node.op_type], axis))
    if not found:
        raise ArtifactError("The model has no Linear or convolution that could be quantised. Is it one of mambapro?")
    return tuple(found)


def module_of(node: onnx.NodeProto, weight: str = "") -> str:
    """Name of the module that a node was exported from.

    `weight` is the name of its initializer, for what is multiplied without a module of its own: such a parameter
    keeps its name in the file.

    Raises:
        ArtifactError: the node does not say.
    """
    text = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    try:
        scopes = ast.literal_eval(text or "")
        name = scopes[-2]
    except (ValueError, SyntaxError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"The node {escaped(node.name)} does not name the module that it belongs to ({SCOPES}), so "
            "layers cannot be told "
            "apart. The file was stripped, or another exporter made it: export the checkpoint again."
        ) from error
    return str(name) or weight or node.name


def _output_axis(node: onnx.NodeProto, weight: TensorProto) -> int | None:
    """The weight's axis of output channels, None where the node is of a form that stays as it is."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "MatMul":
        return 1 if len(weight.dims) == 2 else None
    if node.op_type == "Gemm":
        return _axis_of_gemm(values)
    return 0 if values.get("group", 1) == 1 else None


def _axis_of_gemm(values: Mapping[str, object]) -> int | None:
    plain = values.get("alpha", 1.0) == 1.0 and values.get("beta", 1.0) == 1.0 and not values.get("transA", 0)
    return (0 if values.get("transB", 0) else 1) if plain else None
