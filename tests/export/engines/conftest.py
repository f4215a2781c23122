"""The tiny model's file in every type."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from mambapro.graph.cast import typed
from onnx import TensorProto, helper


@pytest.fixture(scope="session")
def files(graphs: dict[str, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model in every type; int8 has a pair around the input of one product."""
    folder, model = tmp_path_factory.mktemp("typed"), graphs["fp32"]
    made = {"fp32": model, "fp16": typed(model, "fp16"), "bf16": typed(model, "bf16")}
    made["int8"] = with_pair(made["fp16"])
    for name, graph in made.items():
        onnx.save(graph, folder / f"{name}.onnx")
    return {name: folder / f"{name}.onnx" for name in made}


def with_pair(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float16 model with QuantizeLinear and DequantizeLinear before its first product with a weight."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    at, node = next(
        (i, node) for i, node in enumerate(result.graph.node) if node.op_type == "MatMul" and node.input[1] in weights
    )
    scale = helper.make_tensor("scale", TensorProto.FLOAT16, [], [0.05])
    zero = helper.make_tensor("zero", TensorProto.INT8, [], [0])
    result.graph.initializer.extend([scale, zero])
    pair = [
        helper.make_node("QuantizeLinear", [node.input[0], "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
    ]
    node.input[0] = "dq"
    for new in reversed(pair):
        result.graph.node.insert(at, new)
    return result
