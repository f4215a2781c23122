"""Which layers may compute in int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.errors import ArtifactError
from mambapro.graph.layers import CONV, GEMM, MATMUL, points
from onnx import helper
from small_graphs import graph_of, scoped, two_readers


class TestTheTinyModel:
    def test_linears_and_the_patches(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """Every part of the network is there, under its name in the trained model, once."""
        found = [point.module for point in points(graphs["fp32"])]

        assert len(found) == len(set(found))
        assert {
            "backbone.embedding.patches",
            "backbone.layers.0.attention.in_proj",
            "backbone.layers.0.attention.out_proj",
            "backbone.layers.1.mlp.inner",
            "backbone.layers.1.mlp.outer",
            "backbone.layers.0.adapter.inner",
            "backbone.layers.1.prompt.residual.outer",
            "backbone.projection",
            "aggregation.blocks.0.intra.in_proj.nir",
            "aggregation.blocks.1.inter.out_proj",
            "aggregation.blocks.0.intra.scans.tir.ahead.x_proj",
        } <= set(found)

    def test_what_stays_out(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """No dt_proj, no reduction, no depthwise convolution, no product of two activations."""
        found = points(graphs["fp32"])

        assert not [p.module for p in found if "reduction" in p.module or p.module.endswith((".scans", ".conv"))]
        weights = {tensor.name: tensor.dims for tensor in graphs["fp32"].graph.initializer}
        assert all(len(weights[point.weight]) == (4 if point.kind == CONV else 2) for point in found)

    def test_float16_has_the_same_names(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """One table serves both: the modules agree, though the tensors' names do not."""
        whole, half = (points(graphs[precision]) for precision in ("fp32", "fp16"))

        assert [point.module for point in whole] == [point.module for point in half]
        assert [point.input for point in whole] != [point.input for point in half]

    def test_without_scopes(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """A file whose nodes do not name their modules is refused, with what to do."""
        bare = onnx.ModelProto()
        bare.CopyFrom(graphs["fp32"])
        for node in bare.graph.node:
            del node.metadata_props[:]

        with pytest.raises(ArtifactError, match=r"does not name the module.*export the checkpoint again"):
            points(bare)


class TestForms:
    def test_axis_of_outputs(self) -> None:
        """The output channels of each kind: columns, rows of a transposed Gemm, filters."""
        zeros = {name: np.zeros(shape, np.float32) for name, shape in {"A": (8, 5), "B": (5, 8), "C": (4, 8)}.items()}
        nodes = [
            scoped(helper.make_node("MatMul", ["x", "A"], ["a"], name="1"), "one"),
            scoped(helper.make_node("Gemm", ["x", "B"], ["b"], name="2", transB=1), "two"),
            scoped(helper.make_node("Gemm", ["x", "C"], ["c"], name="3", transB=1, alpha=0.5), "three"),
        ]

        found = points(graph_of(nodes, zeros, 8, ["a", "b", "c"]))

        assert [(point.module, point.kind, point.axis) for point in found] == [("one", MATMUL, 1), ("two", GEMM, 0)]

    @pytest.mark.parametrize(
        ("module", "kept"),
        [
            ("aggregation.scans.rgb.ahead.dt_proj", True),
            ("aggregation.reduction.rgb.linear", True),
            ("aggregation.blocks.0.intra.scans", True),
            ("aggregation.scans.rgb.ahead.x_proj", False),
            ("backbone.layers.0.mlp.inner", False),
        ],
    )
    def test_modules_that_never_become_int8(self, module: str, kept: bool) -> None:
        """The step size's projection, the last layer and what a scan group multiplies itself stay as they are."""
        zeros = {"A": np.zeros((8, 5), np.float32), "B": np.zeros((8, 5), np.float32)}
        nodes = [
            scoped(helper.make_node("MatMul", ["x", "A"], ["a"], name="1"), module),
            scoped(helper.make_node("MatMul", ["x", "B"], ["b"], name="2"), "another"),
        ]

        found = [point.module for point in points(graph_of(nodes, zeros, 8, ["a", "b"]))]

        assert found == (["another"] if kept else [module, "another"])

    def test_grouped_convolutions_stay(self) -> None:
        """Only the convolution of one group is a point."""
        zeros = {"A": np.zeros((6, 1, 3, 3), np.float32), "B": np.zeros((4, 6, 3, 3), np.float32)}
        nodes = [
            scoped(helper.make_node("Conv", ["x", "A"], ["a"], name="1", group=6), "depthwise"),
            scoped(helper.make_node("Conv", ["a", "B"], ["b"], name="2"), "whole"),
        ]

        assert [(p.module, p.axis) for p in points(graph_of(nodes, zeros, 8, ["b"]))] == [("whole", 0)]

    def test_a_module_called_twice(self) -> None:
        """Two calls of one module are two points of different names."""
        model = two_readers(np.random.default_rng(0))
        for node in model.graph.node:
            del node.metadata_props[:]
            scoped(node, "part.same")

        assert [point.module for point in points(model)] == ["part.same", "part.same#2"]

    def test_nothing_to_quantise(self) -> None:
        """A graph without any such layer is refused."""
        nodes = [scoped(helper.make_node("Relu", ["x"], ["y"], name="1"), "one")]

        with pytest.raises(ArtifactError, match="no Linear or convolution"):
            points(graph_of(nodes, {}, 8, ["y"]))
