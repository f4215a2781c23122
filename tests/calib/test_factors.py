"""SmoothQuant's factors, and which weights they may be folded into, on numbers computed by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.graph.layers import points
from mambapro.graph.scales import Activation, Observed, ScaleTable, Smoothing
from mambapro.graph.smooth import factors, foldable_norms, folded
from onnx import helper, numpy_helper
from small_graphs import normed, run, scoped

SHA = "0" * 64


def two_linears(generator: np.random.Generator) -> onnx.ModelProto:
    """A LayerNorm whose output goes into two Linears, `first` and `second`."""
    model = normed(generator)
    model.graph.initializer.append(numpy_helper.from_array(generator.standard_normal((16, 4)).astype(np.float32), "V"))
    model.graph.node.append(scoped(helper.make_node("MatMul", ["h", "V"], ["z"], name="n2"), "part.other"))
    model.graph.output.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", None]))
    return model


def table_for(norm: str, divisor: np.ndarray, *modules: str) -> ScaleTable:
    """One tensor's scale with factors."""
    smoothing = Smoothing(norm, 0.5, tuple(map(float, divisor)))
    entry = Activation(modules, "minmax", 1.0, Observed(-1, 1), smoothing=smoothing)
    return ScaleTable((entry,), 8, SHA, SHA, "auto", SHA)


class TestFactors:
    @pytest.mark.parametrize(("alpha", "apart"), [(0.0, 1.0), (0.25, 2.0), (0.5, 4.0), (1.0, 16.0)])
    def test_alpha_is_the_share_of_the_activation(self, alpha: float, apart: float) -> None:
        """Channels 1 and 16 over equal weights: the factors are 16 ** alpha apart, so 0 moves nothing, 1 all of it."""
        low, high = factors(np.array([1.0, 16.0]), [np.ones((2, 3), np.float32)], alpha)

        assert high / low == pytest.approx(apart, rel=1e-6)
        assert low * high == pytest.approx(1.0, rel=1e-6)

    def test_weights_divide(self) -> None:
        """Equal channels over weights of 1 and 9 at alpha 1/2: the row that is large gets a factor a third as large."""
        low, high = factors(np.array([2.0, 2.0]), [np.array([[1.0], [9.0]], np.float32)], 0.5)

        assert (low, high) == (pytest.approx(3**0.5), pytest.approx(3**-0.5))

    def test_negative_weights_count(self) -> None:
        """The range of a row is that of its absolute values."""
        signed = np.array([[1.0, -9.0], [1.0, 1.0]], np.float32)

        np.testing.assert_allclose(
            factors(np.array([2.0, 2.0]), [signed], 0.5), factors(np.array([2.0, 2.0]), [np.abs(signed)], 0.5)
        )
        assert factors(np.array([2.0, 2.0]), [signed], 0.5)[0] == pytest.approx(3**-0.5)

    def test_of_several_readers_the_largest_row(self) -> None:
        """Two Linears with rows (1, 1) and (9, 1) count as one with (9, 1)."""
        small, large = np.ones((2, 3), np.float32), np.array([[9.0], [1.0]], np.float32)

        np.testing.assert_allclose(
            factors(np.array([2.0, 2.0]), [small, large], 0.5), factors(np.array([2.0, 2.0]), [large], 0.5)
        )

    def test_they_are_clipped_at_a_hundred(self) -> None:
        """A channel a million times as small as the others is blown up no more than a hundred times, and vice versa."""
        channels = np.array([1e-6, 1.0, 1.0, 1.0, 1e6])

        found = factors(channels, [np.ones((5, 2), np.float32)], 1.0)

        np.testing.assert_allclose(found, [1e-2, 1.0, 1.0, 1.0, 1e2], rtol=1e-6)


class TestWhereTheyMayGo:
    def test_a_weight_that_two_layers_read(self) -> None:
        """Rows of a weight that a second layer multiplies with cannot be changed: the norm is not foldable."""
        model = normed(np.random.default_rng(0))
        model.graph.node.append(scoped(helper.make_node("MatMul", ["x", "W"], ["z"], name="n2"), "part.twin"))

        assert foldable_norms(model, points(model)) == ()

    @pytest.mark.parametrize("shared", ["gamma", "beta"])
    def test_a_norm_s_own_weight_that_another_reads(self, shared: str) -> None:
        """Gamma or beta that a second LayerNorm has as well cannot be divided."""
        model = normed(np.random.default_rng(0))
        again = {"gamma": ["x", "gamma", ""], "beta": ["x", "W", "beta"]}[shared]
        node = helper.make_node("LayerNormalization", again[:2] if shared == "gamma" else again, ["z"], name="n2")
        model.graph.node.append(scoped(node, "part.twin"))

        assert foldable_norms(model, points(model)) == ()

    def test_one_of_two_layers_in_int8(self) -> None:
        """Where one reader of a norm computes in int8, gamma, beta and the weights of both readers change."""
        model = two_linears(np.random.default_rng(0))
        divisor = np.exp(np.random.default_rng(1).uniform(-1, 1, 16)).astype(np.float32)
        table = table_for("part.norm", divisor, "part.linear", "part.other")

        changed = folded(model, points(model), table, ["part.other"])

        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        assert set(changed) == {"gamma", "beta", "W", "V"}
        for name, value in values.items():
            expected = value * divisor[:, None] if value.ndim == 2 else value / divisor
            np.testing.assert_allclose(changed[name], expected, rtol=1e-6)

    def test_no_layer_in_int8(self) -> None:
        """A model without int8 before which factors stand is left as it is."""
        model = two_linears(np.random.default_rng(0))
        table = table_for("part.norm", np.full(16, 2.0), "part.linear", "part.other")

        assert folded(model, points(model), table, []) == {}

    def test_the_function_is_the_same(self) -> None:
        """After folding into both readers the outputs are the old ones to float32's accuracy."""
        model = two_linears(np.random.default_rng(0))
        table = table_for("part.norm", np.linspace(0.1, 10, 16), "part.linear", "part.other")
        x = np.random.default_rng(2).standard_normal((5, 16)).astype(np.float32)
        before = run(model, x=x)

        for name, value in folded(model, points(model), table, ["part.linear"]).items():
            tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
            tensor.CopyFrom(numpy_helper.from_array(value, name))

        for name, value in run(model, x=x).items():
            np.testing.assert_allclose(value, before[name], rtol=1e-4, atol=1e-5)
