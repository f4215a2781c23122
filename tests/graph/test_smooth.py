"""Folding factors of a LayerNorm into the next Linears: exact in floating point, and worth it in int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.calib.statistics import Tensor, TensorStatistics
from mambapro.calib.threshold_selection import choose, rows_of
from mambapro.errors import ArtifactError
from mambapro.graph.layers import points
from mambapro.graph.scales import Activation, Observed, ScaleTable, Smoothing
from mambapro.graph.smooth import factors, foldable_norms, folded
from onnx import numpy_helper
from small_graphs import normed, run

SHA = "0" * 64


def smoothed_table(model: onnx.ModelProto, generator: np.random.Generator) -> ScaleTable:
    """A table that smooths every norm of the model by factors drawn from 0.05 to 20."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    norms = {norm.input: norm for norm in foldable_norms(model, points(model))}
    entries = []
    for point in points(model):
        smoothing = None
        if point.input in norms:
            norm = norms[point.input]
            drawn = np.exp(generator.uniform(-3, 3, weights[norm.gamma].dims[0]))
            smoothing = Smoothing(norm.module, 0.5, tuple(map(float, drawn)))
        entries.append(Activation((point.module,), "minmax", 1.0, Observed(-1, 1), smoothing=smoothing))
    return ScaleTable(tuple(entries), 8, SHA, SHA, "auto", SHA)


def with_values(model: onnx.ModelProto, changed: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A copy with other initializers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name].astype(np.float32), tensor.name))
    return copy


class TestFolding:
    def test_it_changes_nothing(self, graphs: dict[str, onnx.ModelProto], inputs: dict[str, np.ndarray]) -> None:
        """With strong factors in every norm the float32 model returns the same numbers, to 1e-5 of their size."""
        model = graphs["fp32"]
        found = points(model)
        table = smoothed_table(model, np.random.default_rng(3))

        changed = folded(model, found, table, [point.module for point in found])

        expected, result = (run(m, **inputs)["embedding"] for m in (model, with_values(model, changed)))
        assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()
        assert len(changed) >= 3 * 8

    def test_norms_of_the_tiny_model(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """Both norms of each layer and the last one are found, past casts of float16 too; those of scans are not."""
        for model in graphs.values():
            found = {
                norm.module: [point.module for point in norm.points] for norm in foldable_norms(model, points(model))
            }

            assert found["backbone.layers.0.ln_1"] == ["backbone.layers.0.attention.in_proj"]
            assert found["backbone.layers.1.ln_2"] == ["backbone.layers.1.mlp.inner"]
            assert found["backbone.ln_post"] == ["backbone.projection"]
            assert not [module for module in found if "scans" in module or "embedding" in module]

    def test_a_second_reader_forbids_it(self) -> None:
        """A LayerNorm whose output something else reads is not foldable, nor is one that is an output."""
        model = normed(np.random.default_rng(0))
        assert len(foldable_norms(model, points(model))) == 1

        model.graph.node.append(onnx.helper.make_node("Relu", ["h"], ["z"], name="n2"))
        assert foldable_norms(model, points(model)) == ()
        del model.graph.node[-1]
        model.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["batch", 16]))
        assert foldable_norms(model, points(model)) == ()

    def test_untouched_where_nothing_is_int8(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """Only norms before a layer that becomes int8 change."""
        table = smoothed_table(graphs["fp32"], np.random.default_rng(3))

        changed = folded(graphs["fp32"], points(graphs["fp32"]), table, ["backbone.layers.0.mlp.inner"])

        assert {"backbone.layers.0.ln_2.weight", "backbone.layers.0.ln_2.bias"} < set(changed) and len(changed) == 3

    def test_a_table_of_another_model(self) -> None:
        """Factors for a layer that no LayerNorm goes into, or of another width, are an error."""
        model = normed(np.random.default_rng(0))
        table = smoothed_table(normed(np.random.default_rng(0)), np.random.default_rng(3))
        model.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["batch", 16]))
        with pytest.raises(ArtifactError, match=r"smooths part.linear.*calibrate this one"):
            folded(model, points(model), table, ["part.linear"])

        entry = Activation(("part.linear",), "minmax", 1.0, Observed(-1, 1), smoothing=Smoothing("n", 0.5, (1.0, 2.0)))
        wrong = ScaleTable((entry,), 8, SHA, SHA, "auto", SHA)
        with pytest.raises(ArtifactError, match=r"2 factors for part.norm, which has 16"):
            folded(normed(np.random.default_rng(0)), points(model), wrong, ["part.linear"])


class TestChoice:
    @pytest.mark.parametrize(("wide", "smooths"), [(40.0, True), (1.0, False)])
    def test_smoothing_where_it_helps(self, wide: float, smooths: bool) -> None:
        """A channel forty times as large is smoothed away and the error falls to less than half; even ones are left."""
        generator = np.random.default_rng(4)
        model = normed(generator, wide)
        (norm,) = foldable_norms(model, points(model))
        weight = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "W")
        model.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["batch", 16]))
        values = run(model, x=generator.standard_normal((4000, 16)).astype(np.float32))["h"]
        statistics = TensorStatistics(Tensor("h", ("part.linear",), False, None, norm, 16))
        statistics.update(values[:3000])
        rows = rows_of(values[3000:], None, 256, generator)

        chosen = choose(statistics, rows, weight)

        assert (chosen.smoothing is not None) == smooths
        if smooths:
            assert chosen.error is not None and chosen.error < 0.5 * min(chosen.errors.values())

    def test_factors(self) -> None:
        """Their geometric mean is 1, they grow with the channel, and a channel of zeros has none."""
        weight = np.ones((4, 3), np.float32)

        found = factors(np.array([1.0, 4.0, 16.0, 0.0], np.float32), [weight], 0.5)

        np.testing.assert_allclose(found, [0.5, 1.0, 2.0, 1.0], rtol=1e-6)
