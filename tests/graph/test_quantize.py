"""Q/DQ: what the graph looks like, and that it computes what the arithmetic says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.graph.layers import points
from mambapro.graph.quantize import LAYOUTS, int8_points, int8_weight, quantized, stored_scale
from mambapro.graph.scales import Activation, Observed, ScaleTable
from mambapro.runtime.evaluation.gates.agreement import cosine_departures
from onnx import numpy_helper
from small_graphs import run, two_readers

SHA = "0" * 64


def table_of(threshold: float, *modules: str) -> ScaleTable:
    """One tensor's table."""
    entry = Activation(modules, "minmax", threshold, Observed(-threshold, threshold))
    return ScaleTable((entry,), 8, SHA, SHA, "minmax", SHA)


class TestArithmetic:
    def test_it_computes_what_int8_would(self) -> None:
        """Outputs are round(x / s) times the int8 weights times both scales, clipped at 127, computed here in NumPy."""
        generator = np.random.default_rng(1)
        model, x = two_readers(generator), generator.standard_normal((4, 8)).astype(np.float32)
        found = run(quantized(model, table_of(1.5, "part.one", "part.two"), "tensorrt"), x=x)

        step = np.float32(1.5 / 127)
        whole = np.clip(np.rint(x / step), -128, 127)
        for name, weight in (("first", "A"), ("second", "B")):
            original = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == weight)
            scale = np.abs(original).max(axis=0) / 127
            expected = whole @ np.rint(original / scale) * step * scale
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)

    def test_weights_are_symmetric(self) -> None:
        """Each channel's largest value becomes 127, -128 never occurs, zeros stay zeros."""
        weight = np.array([[1.0, -2.0, 0.0], [-1.0, 0.5, 0.0]], np.float32)

        whole, scale = int8_weight(weight, 1, np.dtype(np.float32))

        np.testing.assert_array_equal(whole, [[127, -127, 0], [-127, 32, 0]])
        np.testing.assert_allclose(scale, [1 / 127, 2 / 127, 1.0], rtol=1e-6)

    def test_half_scales_never_clip(self) -> None:
        """In float16 a scale is rounded up, and a tiny one does not become zero."""
        scales = np.array([0.1, 3.14159, 1e-9])

        stored = stored_scale(scales, np.dtype(np.float16))

        assert stored.dtype == np.float16 and (stored.astype(np.float64) >= scales).all()
        assert stored[0] < 0.1001


class TestGraph:
    def test_one_pair_for_two_readers(self) -> None:
        """A tensor that two layers read is quantised once, and the float weights are gone."""
        result = quantized(two_readers(np.random.default_rng(0)), table_of(1.0, "part.one", "part.two"), "openvino")

        counts = Counter(node.op_type for node in result.graph.node)
        assert counts == {"QuantizeLinear": 1, "DequantizeLinear": 3, "MatMul": 2}
        assert not {"A", "B"} & {tensor.name for tensor in result.graph.initializer}

    def test_only_what_was_asked_for(self) -> None:
        """The other layer reads the original tensor and keeps its weight."""
        result = quantized(two_readers(np.random.default_rng(0)), table_of(1.0, "part.one"), "openvino", ["part.one"])

        assert [list(node.input) for node in result.graph.node if node.name == "n2"] == [["x", "B"]]
        assert Counter(node.op_type for node in result.graph.node)["DequantizeLinear"] == 2

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_the_model_is_left_alone(
        self, precision: str, graphs: dict[str, onnx.ModelProto], table: ScaleTable
    ) -> None:
        """Not a byte of the input changes, and the copy keeps its properties, inputs and functions."""
        model = graphs[precision]
        before = model.SerializeToString(deterministic=True)

        result = quantized(model, table, "openvino")

        assert model.SerializeToString(deterministic=True) == before
        assert [value.name for value in result.graph.input] == [value.name for value in model.graph.input]
        assert result.functions == model.functions and result.opset_import == model.opset_import

    def test_convolutions_by_layout(self, graphs: dict[str, onnx.ModelProto], table: ScaleTable) -> None:
        """ONNX Runtime has no use for a convolution whose input alone is int8; the others do."""
        found = points(graphs["fp32"])

        counts = {layout: len(int8_points(found, layout)) for layout in LAYOUTS}

        assert counts == {"onnxruntime": len(found) - 1, "openvino": len(found), "tensorrt": len(found)}
        for layout, count in counts.items():
            nodes = quantized(graphs["fp32"], table, layout).graph.node
            assert sum(node.op_type == "QuantizeLinear" for node in nodes) == count


class TestTheTinyModel:
    @pytest.mark.parametrize(
        ("precision", "layout"), [("fp32", "onnxruntime"), ("fp32", "openvino"), ("fp16", "tensorrt")]
    )
    def test_embeddings_stay(
        self,
        precision: str,
        layout: str,
        graphs: dict[str, onnx.ModelProto],
        table: ScaleTable,
        inputs: dict[str, np.ndarray],
    ) -> None:
        """The int8 model's embeddings point where the float32 model's do, to 1 percent, and it is much smaller."""
        expected = run(graphs["fp32"], **inputs)["embedding"]
        result = quantized(graphs[precision], table, layout)

        found = run(result, **inputs)["embedding"].astype(np.float32)

        departures = cosine_departures(found, expected)
        assert 1e-9 < departures.max() < 0.01
        assert result.ByteSize() < 0.75 * graphs[precision].ByteSize()

    def test_constant_layers_stay_in_float(self) -> None:
        """With no modules named, a layer that has no scale keeps its node as it was."""
        table = replace(table_of(1.0, "part.one"), constant=("part.two",))

        result = quantized(two_readers(np.random.default_rng(0)), table, "openvino")

        assert [list(node.input) for node in result.graph.node if node.name == "n2"] == [["x", "B"]]


class TestRefused:
    def test_a_constant_layer_by_name(self) -> None:
        """ArtifactError says why there is no scale and what to do."""
        table = replace(table_of(1.0, "part.one"), constant=("part.two",))

        with pytest.raises(ArtifactError, match="constant in calibration; leave it in float with a policy"):
            quantized(two_readers(np.random.default_rng(0)), table, "openvino", ["part.two"])

    def test_unknown_layout_or_module(self, graphs: dict[str, onnx.ModelProto], table: ScaleTable) -> None:
        """A wrong name is an error that shows right ones."""
        with pytest.raises(InputError, match="one of onnxruntime, openvino, tensorrt, not 'nccl'"):
            quantized(graphs["fp32"], table, "nccl")
        with pytest.raises(InputError, match=r"aggregation.reduction.rgb.linear.*such as backbone"):
            quantized(graphs["fp32"], table, "openvino", ["aggregation.reduction.rgb.linear"])

    def test_a_table_of_another_model(self) -> None:
        """A layer without a scale is an error, not left in float."""
        with pytest.raises(ArtifactError, match=r"no entry for part.two.*calibrate this one"):
            quantized(two_readers(np.random.default_rng(0)), table_of(1.0, "part.one"), "openvino")

    def test_twice(self) -> None:
        """A model that has Q/DQ is not given more of it."""
        table = table_of(1.0, "part.one", "part.two")
        once = quantized(two_readers(np.random.default_rng(0)), table, "openvino")

        with pytest.raises(ArtifactError, match="quantized already"):
            quantized(once, table, "openvino")

    def test_an_old_opset(self) -> None:
        """Opset 17 has no float16 scales."""
        model = two_readers(np.random.default_rng(0))
        model.opset_import[0].version = 17

        with pytest.raises(ArtifactError, match="opset 17; int8 needs 19"):
            quantized(model, table_of(1.0, "part.one", "part.two"), "openvino")
