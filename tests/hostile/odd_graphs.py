"""ONNX files that read other files, never end, or come to more than anybody can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
    numpy_helper,
)

_OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1), helper.make_opsetid("mambapro", 1)]


def write_all(folder: Path) -> list[Path]:
    """Every odd graph as a file of its own."""
    paths = []
    for name, content in odd_graphs().items():
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(content)
    return paths


@cache
def odd_graphs() -> dict[str, bytes]:
    """Content by name. Those that begin with `outside` read other files."""
    made: dict[str, Callable[[], ModelProto]] = {
        "outside_initializer": lambda: _model([_add()], initializers=[_outside("w", "../secret")]),
        "outside_memory": lambda: _model([_add()], initializers=[_outside("w", "*/_ORT_MEM_ADDR_/*")]),
        "outside_location_alone": lambda: _model([_add()], initializers=[_location_alone()]),
        "outside_attribute": lambda: _model([_constant(_outside("w", "/etc/hostname")), _add()]),
        "outside_tensors": lambda: _model([_with_tensors(_outside("t", "../secret")), _add("x")]),
        "outside_branch": lambda: _model([_if(_graph([_constant(_outside("w", "../secret"), "b")], "b"))]),
        "outside_function": lambda: _model(
            [helper.make_node("F", ["x"], ["y"], domain="local")],
            functions=[_function("F", [_constant(_outside("w", "../secret")), _add()])],
        ),
        "outside_sparse": _sparse,
        "endless_loop": _loop,
        "endless_loop_in_a_function": lambda: _model(
            [helper.make_node("F", ["x"], ["y"], domain="mambapro")],
            functions=[_function("F", list(_loop().graph.node), "mambapro")],
        ),
        "nested_branches": lambda: _model([_nested_if(6)]),
        "deep_branches": lambda: _model([_nested_if(20)]),
        "exploding_functions": lambda: _model([_call(30)], functions=_doubling(30)),
        "recursive_function": lambda: _model([_call(1)], functions=[_function("F1", [_call(1)])]),
        "exploding_unused_functions": lambda: _model([_add("x")], functions=_doubling(30)),
        "scan_in_the_graph": lambda: _model([_scan([helper.make_node("Neg", ["s"], ["t"])])]),
        "scan_calls_function": lambda: _model(
            [helper.make_node("G", ["x"], ["y"], domain="mambapro")],
            functions=[
                _function("G", [_scan([helper.make_node("H", ["s"], ["t"], domain="mambapro")])], "mambapro"),
                _function("H", [_scan([helper.make_node("Neg", ["s"], ["t"])])], "mambapro"),
            ],
        ),
    }
    good = _model([_add("x")]).SerializeToString()
    return {
        **{name: make().SerializeToString() for name, make in made.items()},
        "empty": b"",
        "cut_short": good[:-3],
        "no_graph": ModelProto(ir_version=10).SerializeToString(),
        "text": b"this is no protocol buffer\n" * 20,
        "endless_number": b"\xff" * 100,
        "length_beyond": b"\x3a\xff\xff\xff\xff\x0f" + good,
        "many_fields": b"\x08\x0a" * 1_100_000,
        "many_axes": _model(
            [_add()], initializers=[TensorProto(name="w", data_type=1, dims=[1] * 5000)]
        ).SerializeToString(),
    }


def plain_graph(op: str = "Neg") -> bytes:
    """A graph that nothing is wrong with."""
    return _model([helper.make_node(op, ["x"], ["y"])]).SerializeToString()


def all_memory(side: int = 100_000) -> bytes:
    """A graph of a few hundred bytes whose constant has `side` x `side` numbers."""
    shape = numpy_helper.from_array(np.array([side, side], np.int64), "s")
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return _model(nodes, [shape]).SerializeToString()


def _model(
    nodes: list[NodeProto],
    initializers: Sequence[TensorProto] = (),
    functions: Sequence[FunctionProto] = (),
) -> ModelProto:
    return helper.make_model(_graph(nodes, "y", "x", initializers), opset_imports=_OPSETS, functions=functions)


def _graph(
    nodes: list[NodeProto],
    output: str,
    given: str | None = None,
    initializers: Sequence[TensorProto] = (),
) -> GraphProto:
    inputs = [] if given is None else [helper.make_tensor_value_info(given, TensorProto.FLOAT, [4])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [4])]
    return helper.make_graph(nodes, "g", inputs, outputs, initializers)


def _function(name: str, nodes: list[NodeProto], domain: str = "local") -> FunctionProto:
    return helper.make_function(domain, name, ["x"], ["y"], nodes, _OPSETS)


def _add(other: str = "w") -> NodeProto:
    return helper.make_node("Add", ["x", other], ["y"])


def _constant(tensor: TensorProto, output: str = "w") -> NodeProto:
    return helper.make_node("Constant", [], [output], value=tensor)


def _outside(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _location_alone() -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)


def _with_tensors(tensor: TensorProto) -> NodeProto:
    node = helper.make_node("Foreign", ["x"], ["z"], domain="local")
    node.attribute.append(AttributeProto(name="many", type=AttributeProto.TENSORS, tensors=[tensor]))
    return node


def _sparse() -> ModelProto:
    model = _model([_add()])
    indices = numpy_helper.from_array(np.array([0, 1], np.int64), "i")
    model.graph.sparse_initializer.append(
        SparseTensorProto(values=_outside("w", "../secret"), indices=indices, dims=[4])
    )
    return model


def _loop() -> ModelProto:
    """`while True`, whose condition the graph itself sets."""
    true = numpy_helper.from_array(np.array(True), "true")
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [4]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]),
        ],
    )
    return _model([_constant(true, "true"), helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)])


def _if(branch: GraphProto) -> NodeProto:
    return helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)


def _nested_if(depth: int) -> NodeProto:
    """Branches inside branches; the else branch is short, or the file would double with each level."""
    short = _graph([helper.make_node("Neg", ["x"], ["y"])], "y")
    node = helper.make_node("Neg", ["x"], ["y"])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=_graph([node], "y"), else_branch=short)
    return node


def _call(number: int) -> NodeProto:
    return helper.make_node(f"F{number}", ["x"], ["y"], domain="local")


def _doubling(count: int) -> list[FunctionProto]:
    """Each function calls the one before twice."""
    functions = [_function("F0", [helper.make_node("Neg", ["x"], ["y"])])]
    for number in range(1, count + 1):
        below = f"F{number - 1}"
        nodes = [
            helper.make_node(below, ["x"], ["h"], domain="local"),
            helper.make_node(below, ["h"], ["y"], domain="local"),
        ]
        functions.append(_function(f"F{number}", nodes))
    return functions


def _scan(nodes: list[NodeProto]) -> NodeProto:
    body = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [])],
    )
    return helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
