"""Layers of an exported model that may compute in int8, by the names of their modules.

Linears and convolutions may. Everything else stays as it is: residual adds, LayerNorm, softmax, the products of the
attention with itself, step size and softplus, the scan and its gate. Of the Linears and convolutions these stay too:

* those that the model excludes (`ModuleRoles.never_int8`).
* grouped convolutions: each output depends on a few inputs, so int8 errors do not average out, and no runtime has a
  kernel for them that is worth it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from ..common.foreign_text import escaped
from ..errors import ArtifactError
from .module_roles import roles_of
from .value_types import SCOPES, as_ir, module_of

MATMUL, GEMM, CONV = "matmul", "gemm", "conv"

_KINDS = {"MatMul": MATMUL, "Gemm": GEMM, "Conv": CONV}
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


@dataclass(frozen=True)
class Point:
    """One layer that may be quantized.

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


def points(model: onnx.ModelProto | ir.Model) -> tuple[Point, ...]:
    """Return the layers that may be quantized, in the order of the graph.

    Raises:
        ArtifactError: a node names no module, the model is quantized already, or no layer of it can be.
    """
    model = as_ir(model)
    roles = roles_of(model)
    layers: list[Point] = []
    seen: Counter[str] = Counter()
    for node in model.graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise ArtifactError(
                f"The model is quantized already (node {escaped(node.name)}). Quantize the float32 or float16 model "
                "that it was made from."
            )
        axis = _output_axis(node)
        if axis is None:
            continue
        value, weight = node.inputs[:2]
        name = layer_of(node, weight.name)
        if roles.stays_float(name):
            continue
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
        layers.append(Point(node.name, unique, value.name, weight.name, _KINDS[node.op_type], axis))
    if not layers:
        raise ArtifactError("The model has no Linear or convolution that could be quantized. Is it one of mambapro?")
    return tuple(layers)


def layer_of(node: ir.Node, weight: str) -> str:
    """Return the name of the module that a node was exported from.

    A node outside all modules has the name `weight` of its initializer: a parameter keeps its name in the file.

    Raises:
        ArtifactError: the node names no module.
    """
    name = module_of(node)
    if name is None:
        raise ArtifactError(
            f"The node {escaped(node.name)} does not name the module that it belongs to ({SCOPES}), so layers cannot "
            "be told apart. The file was stripped, or another exporter made it: export the checkpoint again."
        )
    return name or weight or node.name


def _output_axis(node: ir.Node) -> int | None:
    """Return the weight's axis of output channels; None of a node that stays as it is."""
    weight = node.inputs[1] if node.op_type in _KINDS else None
    if weight is None or not weight.is_initializer() or weight.dtype not in _FLOATS:
        return None
    attribute = {name: attribute.value for name, attribute in node.attributes.items()}
    if node.op_type == "MatMul":
        return 1 if len(weight.shape) == 2 else None
    if node.op_type == "Conv":
        return 0 if attribute.get("group", 1) == 1 else None
    plain = attribute.get("alpha", 1.0) == attribute.get("beta", 1.0) == 1.0 and not attribute.get("transA", 0)
    return (0 if attribute.get("transB", 0) else 1) if plain else None
