"""The selective scan in ONNX: the node, its translation from PyTorch, and the function that runs it anywhere.

A runtime with a kernel of its own replaces the node; every other one runs the function, which is standard ONNX: one
`Scan` over the tokens. Three habits of the body come from runtimes it has to pass:

* it captures nothing: A, D and the bias ride along as states (captured values break OpenVINO's inlined form);
* casts and softplus stand inside (in front of the Scan they break TensorRT-RTX in fp16);
* the state lies as (groups, state, channels), so that y is one matrix product (twice as fast in ONNX Runtime as the
  obvious (channels, state) with a sum).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import FunctionProto, GraphProto, TensorProto, ValueInfoProto, helper
from onnx.defs import OpSchema
from onnxscript import values

from . import torch_op
from .schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE, OUTPUT, VERSION

#: Opset of the function body; CastLike came with 15, types of Scan bodies settled with 16.
BODY_OPSET = 18
_FLOAT = TensorProto.FLOAT


def translation_table() -> dict[Any, Callable[..., Any]]:
    """For `torch.onnx.export(custom_translation_table=...)`: the PyTorch operator becomes one node."""
    return {torch_op.OPERATOR: _translate}


def _schema() -> OpSchema:
    types = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"]
    parameters = {"A", "D", "delta_bias"}
    return OpSchema(
        OP_TYPE,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(name, "tensor(float)" if name in parameters else "T") for name in INPUTS],
        outputs=[OpSchema.FormalParameter(OUTPUT, "T")],
        type_constraints=[("T", types, "type of u, delta, B, C and y")],
        attributes=[
            OpSchema.Attribute(name, helper.make_attribute(name, value)) for name, value in NODE_ATTRIBUTES.items()
        ],
    )


_OP = values.Op(values.Opset(DOMAIN, VERSION), OP_TYPE, _schema())


def _translate(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, delta_bias: Any) -> Any:
    return _OP(u, delta, A, B, C, D, delta_bias, **NODE_ATTRIBUTES)


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"{OP_TYPE}/{output}", **attributes)


def _constant(name: str, numbers: list[int]) -> onnx.NodeProto:
    return _node("Constant", [], name, value_ints=numbers)


def _step() -> GraphProto:
    """One token. Shapes: u, delta, y (batch, groups, 1, channels of a group); B (batch, groups, state, 1), C
    (batch, groups, 1, state)."""
    states = [("h", "h_next"), ("A_in", "A_out"), ("D_in", "D_out"), ("bias_in", "bias_out")]
    nodes = [
        _node("Cast", ["u_t"], "u32", to=_FLOAT),
        _node("Cast", ["delta_t"], "delta32", to=_FLOAT),
        _node("Cast", ["B_t"], "B32", to=_FLOAT),
        _node("Cast", ["C_t"], "C32", to=_FLOAT),
        _node("Add", ["delta32", "bias_in"], "raw"),
        _node("Softplus", ["raw"], "d"),
        _node("Mul", ["d", "A_in"], "exponent"),
        _node("Exp", ["exponent"], "decay"),
        _node("Mul", ["decay", "h"], "kept"),
        _node("Mul", ["d", "u32"], "du"),
        _node("Mul", ["B32", "du"], "added"),
        _node("Add", ["kept", "added"], "h_next"),
        _node("MatMul", ["C32", "h_next"], "Ch"),
        _node("Mul", ["D_in", "u32"], "Du"),
        _node("Add", ["Ch", "Du"], "y32"),
        _node("CastLike", ["y32", "u_t"], "y_t"),
        _node("Identity", ["A_in"], "A_out"),
        _node("Identity", ["D_in"], "D_out"),
        _node("Identity", ["bias_in"], "bias_out"),
    ]
    untyped = [ValueInfoProto(name=name) for name in ("u_t", "delta_t", "B_t", "C_t")]
    inputs = [helper.make_tensor_value_info(name, _FLOAT, None) for name, _ in states] + untyped
    outputs = [helper.make_tensor_value_info(name, _FLOAT, None) for _, name in states] + [ValueInfoProto(name="y_t")]
    return helper.make_graph(nodes, f"{OP_TYPE}_step", inputs, outputs)


def function_proto() -> FunctionProto:
    """The model-local function that defines the node in standard ONNX."""
    nodes = [
        # B with shape (batch, length, groups, state) tells the sizes
        _node("Shape", ["B"], "batch_length_groups", start=0, end=3),
        _constant("one_rest", [1, -1]),
        _node("Concat", ["batch_length_groups", "one_rest"], "per_token", axis=0),
        _node("Reshape", ["u", "per_token"], "u_grouped"),
        _node("Reshape", ["delta", "per_token"], "delta_grouped"),
        _constant("axis_4", [4]),
        _constant("axis_3", [3]),
        _node("Unsqueeze", ["B", "axis_4"], "B_column"),
        _node("Unsqueeze", ["C", "axis_3"], "C_row"),
        # A with shape (groups, state, channels of a group), D and bias (groups, 1, channels of a group)
        _node("Shape", ["B"], "groups", start=2, end=3),
        _node("Shape", ["B"], "state", start=3, end=4),
        _constant("rest", [-1]),
        _node("Concat", ["groups", "rest", "state"], "A_shape", axis=0),
        _node("Reshape", ["A", "A_shape"], "A_split"),
        _node("Transpose", ["A_split"], "A_0", perm=[0, 2, 1]),
        _node("Concat", ["groups", "one_rest"], "D_shape", axis=0),
        _node("Reshape", ["D", "D_shape"], "D_0"),
        _node("Reshape", ["delta_bias", "D_shape"], "bias_0"),
        _node("Shape", ["B"], "batch", start=0, end=1),
        _node("Shape", ["A_0"], "A_0_shape"),
        _node("Concat", ["batch", "A_0_shape"], "h_shape", axis=0),
        _node("ConstantOfShape", ["h_shape"], "h_0", value=helper.make_tensor("zero", _FLOAT, [1], [0.0])),
        helper.make_node(
            "Scan",
            ["h_0", "A_0", "D_0", "bias_0", "u_grouped", "delta_grouped", "B_column", "C_row"],
            ["h_last", "A_last", "D_last", "bias_last", "y_grouped"],
            name=f"{OP_TYPE}/scan",
            body=_step(),
            num_scan_inputs=4,
            scan_input_axes=[1, 1, 1, 1],
            scan_output_axes=[1],
        ),
        _node("Shape", ["u"], "u_shape"),
        _node("Reshape", ["y_grouped", "u_shape"], OUTPUT),
    ]
    return helper.make_function(
        DOMAIN,
        OP_TYPE,
        list(INPUTS),
        [OUTPUT],
        nodes,
        [helper.make_opsetid("", BODY_OPSET)],
        attributes=list(NODE_ATTRIBUTES),
    )


def add_function(model: onnx.ModelProto) -> None:
    """Give `model` the function of its SelectiveScan nodes, in place; nothing if there is no such node."""
    if any(node.op_type == OP_TYPE and node.domain == DOMAIN for node in model.graph.node):
        function = function_proto()
        opset = next(entry.version for entry in model.opset_import if entry.domain == "")
        # runtimes want one version of the standard operators in the whole file
        function.opset_import[0].version = opset
        model.functions.append(function)
        if not any(entry.domain == DOMAIN for entry in model.opset_import):
            model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
