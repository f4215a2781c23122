"""Element types of the values of a graph by ONNX's own inference."""

from __future__ import annotations

import onnx


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Types of inputs, initializers and what nodes return, by name; a file that says another type is an error."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}
