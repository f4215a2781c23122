"""The selective scan in ONNX: node, translation from PyTorch, and models with it.

A runtime with a kernel of its own replaces the node; all others run the function of onnx/function.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import TensorProto, helper
from onnx.defs import OpSchema
from onnxscript import values

from .. import torch_op
from ..schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE, OUTPUT, PARAMETERS, VERSION
from .function import function_proto

_FLOAT = TensorProto.FLOAT


def translation_table() -> dict[Any, Callable[..., Any]]:
    """Return the `custom_translation_table` of torch.onnx.export: the operator becomes one node."""
    return {torch_op.OPERATOR: _translate}


def _schema() -> OpSchema:
    types = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"]
    return OpSchema(
        OP_TYPE,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(name, "tensor(float)" if name in PARAMETERS else "T") for name in INPUTS],
        outputs=[OpSchema.FormalParameter(OUTPUT, "T")],
        type_constraints=[("T", types, "type of u, delta, B, C and y")],
        attributes=[
            OpSchema.Attribute(name, helper.make_attribute(name, value)) for name, value in NODE_ATTRIBUTES.items()
        ],
    )


_OP = values.Op(values.Opset(DOMAIN, VERSION), OP_TYPE, _schema())


def _translate(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, delta_bias: Any) -> Any:
    return _OP(u, delta, A, B, C, D, delta_bias, **NODE_ATTRIBUTES)


def add_function(model: onnx.ModelProto) -> None:
    """Add the function of the SelectiveScan nodes to `model`, in place; nothing without such a node."""
    if not any(node.op_type == OP_TYPE and node.domain == DOMAIN for node in model.graph.node):
        return
    function = function_proto()
    # runtimes require one version of the standard operators in the whole file
    function.opset_import[0].version = next(entry.version for entry in model.opset_import if entry.domain == "")
    model.functions.append(function)
    if not any(entry.domain == DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))


def scan_model(io_type: str = "float32", opset: int = 20) -> onnx.ModelProto:
    """Build a model of one node and its function, inputs named as in the contract, every size dynamic.

    Args:
        io_type: of u, delta, B, C and y: "float32", "float16" or "bfloat16".
        opset: version of the standard operators, 18 or newer.
    """
    shapes: dict[str, tuple[str, ...]] = dict.fromkeys(("u", "delta", OUTPUT), ("batch", "length", "channels"))
    shapes |= dict.fromkeys(("B", "C"), ("batch", "length", "groups", "state"))
    shapes |= {"A": ("channels", "state"), "D": ("channels",), "delta_bias": ("channels",)}
    kind = {"float32": _FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}[io_type]
    types = {name: _FLOAT if name in PARAMETERS else kind for name in shapes}
    inputs, (y,) = (
        [helper.make_tensor_value_info(name, types[name], shapes[name]) for name in names]
        for names in (INPUTS, (OUTPUT,))
    )
    node = helper.make_node(OP_TYPE, list(INPUTS), [OUTPUT], domain=DOMAIN, **NODE_ATTRIBUTES)
    graph = helper.make_graph([node], "scan", inputs, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    add_function(model)
    return model
