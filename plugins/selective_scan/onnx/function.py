"""The selective scan in standard ONNX, for runtimes without a kernel of their own: one `Scan` over the tokens.

Constraints of the supported runtimes:

* nothing is captured: A is a state (captured values break OpenVINO's inlined form), passed on by an Identity (ONNX
  Runtime returns wrong numbers if a body's output is its own input);
* the casts of B and C are inside the body (before the Scan they break TensorRT-RTX in float16); those of u and delta
  can be outside, so everything independent of the state is computed for all tokens at once;
* it runs along axis 0, the only one supported by ONNX's reference evaluator;
* the state has shape (groups, state, channels), so that y is one matrix product;
* softplus is written out, because ONNX Runtime has a fast Exp but computes Softplus value by value.

Seven operations of the state's size remain per token. Several tokens per iteration, and B u as a matrix product, were
not faster.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import FunctionProto, GraphProto, TensorProto, ValueInfoProto, helper

from ..schema import DOMAIN, INPUTS, NODE_ATTRIBUTES, OP_TYPE, OUTPUT

#: Opset of the function body; CastLike came with 15, types of Scan bodies settled with 16.
BODY_OPSET = 18
_FLOAT = TensorProto.FLOAT
#: 2 artanh(s) / s as a polynomial in s s, interpolated at Chebyshev's points of 0 to 1/9 (s is 1/3 at most): relative
#: error 8e-9.
_ARTANH = (2.0, 0.66666316, 0.40024854, 0.27961419, 0.28174657)
#: Permutation that swaps batch and length.
_TIME_FIRST = [1, 0, 2, 3, 4]


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=f"{OP_TYPE}/{output}", **attributes)


def _numbers(name: str, values: list[int]) -> onnx.NodeProto:
    return _node("Constant", [], name, value_ints=values)


def _number(name: str, value: float) -> onnx.NodeProto:
    return _node("Constant", [], name, value_float=value)


def _softplus(x: str, output: str) -> list[onnx.NodeProto]:
    """Return the nodes of relu(x) + log1p(z), z = exp(-|x|), log1p(z) = 2 artanh(s), s = z / (2 + z), as a series.

    Exact to float32's rounding for every x, also for tiny steps; `log(1 + exp(x))` is not.
    """
    nodes = [
        _node("Abs", [x], "size"),
        _node("Neg", ["size"], "minus_size"),
        _node("Exp", ["minus_size"], "z"),
        _number("two", 2.0),
        _node("Add", ["z", "two"], "z_2"),
        _node("Div", ["z", "z_2"], "s"),
        _node("Mul", ["s", "s"], "ss"),
    ]
    *rest, series = (f"artanh_{power}" for power in range(len(_ARTANH)))
    nodes += [_number(f"artanh_{power}", value) for power, value in enumerate(_ARTANH)]
    for name in reversed(rest):
        nodes += [
            _node("Mul", [series, "ss"], f"{name}_product"),
            _node("Add", [f"{name}_product", name], f"{name}_sum"),
        ]
        series = f"{name}_sum"
    return [
        *nodes,
        _node("Mul", [series, "s"], "log1p_z"),
        _node("Relu", [x], "positive_part"),
        _node("Add", ["positive_part", "log1p_z"], output),
    ]


def _step() -> GraphProto:
    """Return the body for one token.

    Shapes: d, du, y (batch, groups, 1, channels of a group); B (batch, groups, state, 1), C (batch, groups, 1, state);
    h (batch, groups, state, channels of a group).
    """
    nodes = [
        _node("Cast", ["B_t"], "B32", to=_FLOAT),
        _node("Cast", ["C_t"], "C32", to=_FLOAT),
        _node("Mul", ["d_t", "A_in"], "exponent"),
        _node("Exp", ["exponent"], "decay"),
        _node("Mul", ["decay", "h"], "kept"),
        _node("Mul", ["B32", "du_t"], "added"),
        _node("Add", ["kept", "added"], "h_next"),
        _node("MatMul", ["C32", "h_next"], "Ch_t"),
        _node("Identity", ["A_in"], "A_out"),
    ]
    inputs = [helper.make_tensor_value_info(name, _FLOAT, None) for name in ("h", "A_in", "d_t", "du_t")]
    outputs = [helper.make_tensor_value_info(name, _FLOAT, None) for name in ("h_next", "A_out", "Ch_t")]
    # B and C are of the call's type
    untyped = [ValueInfoProto(name=name) for name in ("B_t", "C_t")]
    return helper.make_graph(nodes, f"{OP_TYPE}_step", [*inputs, *untyped], outputs)


def _inputs_of_the_scan() -> list[onnx.NodeProto]:
    """Return the nodes that compute the Scan's inputs for all tokens at once."""
    return [
        # B with shape (batch, length, groups, state) has the sizes
        _node("Shape", ["B"], "batch_length_groups", start=0, end=3),
        _node("Shape", ["B"], "batch", start=0, end=1),
        _node("Shape", ["B"], "groups", start=2, end=3),
        _node("Shape", ["B"], "state", start=3, end=4),
        _numbers("rest", [-1]),
        # d and du with shape (length, batch, groups, 1, channels of a group)
        _node("Cast", ["u"], "u32", to=_FLOAT),
        _node("Cast", ["delta"], "delta32", to=_FLOAT),
        _node("Add", ["delta32", "delta_bias"], "raw"),
        *_softplus("raw", "d"),
        _node("Mul", ["d", "u32"], "du"),
        _numbers("one_rest", [1, -1]),
        _node("Concat", ["batch_length_groups", "one_rest"], "per_token", axis=0),
        _node("Reshape", ["d", "per_token"], "d_grouped"),
        _node("Reshape", ["du", "per_token"], "du_grouped"),
        _node("Transpose", ["d_grouped"], "d_scan", perm=_TIME_FIRST),
        _node("Transpose", ["du_grouped"], "du_scan", perm=_TIME_FIRST),
        # B with shape (length, batch, groups, state, 1), C (length, batch, groups, 1, state)
        _numbers("axis_4", [4]),
        _numbers("axis_3", [3]),
        _node("Unsqueeze", ["B", "axis_4"], "B_column"),
        _node("Unsqueeze", ["C", "axis_3"], "C_row"),
        _node("Transpose", ["B_column"], "B_scan", perm=_TIME_FIRST),
        _node("Transpose", ["C_row"], "C_scan", perm=_TIME_FIRST),
        # A with shape (groups, state, channels of a group)
        _node("Concat", ["groups", "rest", "state"], "A_shape", axis=0),
        _node("Reshape", ["A", "A_shape"], "A_split"),
        _node("Transpose", ["A_split"], "A_0", perm=[0, 2, 1]),
        _node("Shape", ["A_0"], "A_0_shape"),
        _node("Concat", ["batch", "A_0_shape"], "h_shape", axis=0),
        _node("ConstantOfShape", ["h_shape"], "h_0", value=helper.make_tensor("zero", _FLOAT, [1], [0.0])),
    ]


def function_proto() -> FunctionProto:
    """Return the model-local function that defines the node in standard ONNX."""
    scan = helper.make_node(
        "Scan",
        ["h_0", "A_0", "d_scan", "du_scan", "B_scan", "C_scan"],
        ["h_last", "A_last", "Ch_scan"],
        name=f"{OP_TYPE}/scan",
        body=_step(),
        num_scan_inputs=4,
    )
    nodes = [
        *_inputs_of_the_scan(),
        scan,
        _node("Transpose", ["Ch_scan"], "Ch_grouped", perm=_TIME_FIRST),
        _node("Shape", ["u"], "u_shape"),
        _node("Reshape", ["Ch_grouped", "u_shape"], "Ch"),
        _node("Mul", ["D", "u32"], "Du"),
        _node("Add", ["Ch", "Du"], "y32"),
        _node("CastLike", ["y32", "u"], OUTPUT),
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
