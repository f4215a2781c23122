"""Hand-made graphs whose every number can be computed beside them."""

from __future__ import annotations

import numpy as np
import onnx
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from onnx import TensorProto, helper, numpy_helper

SCOPES = "pkg.torch.onnx.name_scopes"


def scoped(node: onnx.NodeProto, module: str) -> onnx.NodeProto:
    """The node, saying which module it is of, as torch's exporter writes it."""
    entry = node.metadata_props.add()
    entry.key, entry.value = SCOPES, str(["", module, "linear"])
    return node


def graph_of(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], width: int, outputs: list[str], opset: int = 20
) -> onnx.ModelProto:
    """A model of float32 `x` (batch, width)."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def two_readers(generator: np.random.Generator) -> onnx.ModelProto:
    """`first` = x A and `second` = x B: two Linears that read one tensor."""
    weights = {name: generator.standard_normal((8, 5)).astype(np.float32) for name in ("A", "B")}
    nodes = [
        scoped(helper.make_node("MatMul", ["x", "A"], ["first"], name="n1"), "part.one"),
        scoped(helper.make_node("MatMul", ["x", "B"], ["second"], name="n2"), "part.two"),
    ]
    return graph_of(nodes, weights, 8, ["first", "second"])


def normed(generator: np.random.Generator, wide: float = 1.0) -> onnx.ModelProto:
    """`y` = LayerNorm(x) W, the norm with a channel `wide` times as large as the others."""
    gamma = np.ones(16, np.float32)
    gamma[3] = wide
    weights = {
        "gamma": gamma,
        "beta": 0.1 * generator.standard_normal(16).astype(np.float32),
        "W": generator.standard_normal((16, 6)).astype(np.float32),
    }
    nodes = [
        scoped(helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["h"], name="n0", axis=-1), "part.norm"),
        scoped(helper.make_node("MatMul", ["h", "W"], ["y"], name="n1"), "part.linear"),
    ]
    return graph_of(nodes, weights, 16, ["y"])


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs by name, by ONNX Runtime on the CPU."""
    backend = OnnxRuntimeBackend(model.SerializeToString(), "cpu", threads=1)
    try:
        return backend.run(inputs)
    finally:
        backend.close()
