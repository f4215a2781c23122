"""The choice of a threshold by measured error, and the matrix and rows it is measured with."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
from mambapro.calib import threshold_selection as choosing
from mambapro.calib.statistics import Tensor, TensorStatistics
from mambapro.calib.threshold_selection import Meter, choose, matrix_of, rows_of, window_of
from mambapro.graph.layers import CONV, GEMM, MATMUL, Point
from mambapro.graph.smooth import Norm
from onnx import helper, numpy_helper


def point(kind: str, axis: int, weight: str = "W") -> Point:
    return Point("n", f"part.{weight}", "h", weight, kind, axis)


def tensors(**weights: np.ndarray) -> dict[str, onnx.TensorProto]:
    return {name: numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()}


@pytest.fixture
def given_errors(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Errors by algorithm that the meter reports; thresholds are numbered, so that they can be told apart."""
    errors: dict[str, float] = {}
    monkeypatch.setattr(choosing, "threshold", lambda h, largest, name, p: 1.0 + list(errors).index(name))
    monkeypatch.setattr(Meter, "error", lambda self, limit: list(errors.values())[round(limit) - 1])
    return errors


class TestClearlyBetter:
    @pytest.mark.parametrize(
        ("errors", "best"),
        [
            ({"minmax": 0.5, "percentile": 0.5, "mse": 1.0, "entropy": 2.0}, "minmax"),
            ({"minmax": 0.95, "percentile": 1.0, "mse": 1.0, "entropy": 2.0}, "mse"),
            ({"minmax": 0.9, "percentile": 1.0, "mse": 1.0, "entropy": 2.0}, "mse"),
            ({"minmax": 2.0, "percentile": 3.0, "mse": 1.0, "entropy": 0.89}, "entropy"),
            ({"minmax": 1.05, "percentile": 3.0, "mse": 1.0, "entropy": 3.0}, "mse"),
        ],
    )
    def test_mse_unless_a_tenth_is_gone(
        self, given_errors: dict[str, float], errors: dict[str, float], best: str
    ) -> None:
        """Another algorithm overrules MSE only where it leaves less than nine tenths of its error."""
        given_errors.update(errors)
        statistics = TensorStatistics(Tensor("h", ("part.W",), False, None, None, 4))
        statistics.update(np.array([[1.0, -2.0]], np.float32))

        chosen = choose(statistics, np.ones((2, 2), np.float32), np.ones((2, 3), np.float32))

        assert chosen.algorithm == best and chosen.errors == errors

    @pytest.mark.parametrize(("share", "smooths"), [(0.95, False), (0.89, True)])
    def test_smoothing_needs_a_tenth_too(self, monkeypatch: pytest.MonkeyPatch, share: float, smooths: bool) -> None:
        """A float graph is changed only where factors leave less than nine tenths of the error."""
        norm = Norm("part.norm", "gamma", None, "h", (point(MATMUL, 1),))
        statistics = TensorStatistics(Tensor("h", ("part.W",), False, None, norm, 4))
        statistics.update(np.array([[1.0, -2.0]], np.float32))
        rows = np.ones((2, 2), np.float32)
        # the rows of the plain meter are the ones that were given
        monkeypatch.setattr(Meter, "error", lambda self, limit: 1.0 if self.rows is rows else share)

        chosen = choose(statistics, rows, np.ones((2, 3), np.float32))

        assert (chosen.smoothing is not None) == smooths


def test_a_smoothed_range_is_that_of_all_images() -> None:
    """No threshold cuts off what only the statistics saw: with min and max it is the largest channel after division."""
    norm = Norm("part.norm", "gamma", None, "h", (point(MATMUL, 1),))
    statistics = TensorStatistics(Tensor("h", ("part.W",), False, None, norm, 4))
    random = np.random.default_rng(0)
    values = random.standard_normal((500, 8)).astype(np.float32)
    values[:, 2] *= 100
    statistics.update(values)
    statistics.update(np.full((1, 8), 3.0, np.float32) * np.array([1, 1, 200, 1, 1, 1, 1, 1], np.float32))

    chosen = choose(statistics, values[:200], random.standard_normal((8, 4)).astype(np.float32), "minmax")

    assert chosen.smoothing is not None
    expected = (statistics.channels / np.array(chosen.smoothing.factors)).max()
    assert chosen.threshold == pytest.approx(expected, rel=1e-5)


class TestMeter:
    def test_relative_error_by_hand(self) -> None:
        """2.0 with a limit of 1.0 is clipped to 1.0: half of the output is lost; at its own limit nothing is."""
        meter = Meter(np.array([[2.0]], np.float32), np.array([[3.0]], np.float32))

        assert meter.error(1.0) == pytest.approx(0.5)
        assert meter.error(2.0) == pytest.approx(0.0, abs=1e-6)

    def test_scales_by_output_channel(self) -> None:
        """Each column of the weight has a scale of its own: a large one does not drown a small one."""
        matrix = np.array([[1000.0, 1.0], [0.0, 0.25]], np.float32)

        np.testing.assert_allclose(Meter(np.ones((1, 2), np.float32), matrix).weight[:, 1], [1.0, 0.25], rtol=0.01)


class TestMatrix:
    def test_every_kind_lies_as_inputs_by_outputs(self) -> None:
        """A MatMul's weight as it is, a Gemm's transposed where its rows are outputs, a filter flattened."""
        random = np.random.default_rng(0)
        plain, rows, filters = random.random((4, 3)), random.random((5, 4)), random.random((2, 4, 1, 1))

        found = matrix_of(
            tensors(A=plain, B=rows, C=filters), [point(MATMUL, 1, "A"), point(GEMM, 0, "B"), point(CONV, 0, "C")]
        )

        expected = np.concatenate([plain, rows.T, filters.reshape(2, 4).T], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert matrix_of(tensors(A=plain), [point(GEMM, 1, "A")]).shape == (4, 3)

    @pytest.mark.parametrize(
        ("strides", "pads", "dilations"),
        [((1, 1), (0, 0, 0, 0), (1, 1)), ((2, 3), (1, 0, 2, 1), (1, 1)), ((1, 2), (0, 2, 1, 0), (2, 1))],
    )
    def test_rows_of_a_convolution(
        self, strides: tuple[int, ...], pads: tuple[int, ...], dilations: tuple[int, ...]
    ) -> None:
        """Patches times matrix are the convolution's outputs, position by position, computed here with loops."""
        random = np.random.default_rng(0)
        x, w = random.standard_normal((2, 3, 7, 8)), random.standard_normal((4, 3, 2, 3))
        node = helper.make_node("Conv", ["x", "W"], ["y"], strides=strides, pads=pads, dilations=dilations)
        window = window_of(node, tensors(W=w)["W"])
        assert window is not None

        # more draws than positions, so that nearly all positions come up; each once, in order
        patches = rows_of(x.astype(np.float32), window, 5000, np.random.default_rng(1))
        found = patches @ matrix_of(tensors(W=w), [point(CONV, 0)])

        padded = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
        high = (padded.shape[2] - dilations[0] * 1 - 1) // strides[0] + 1
        wide = (padded.shape[3] - dilations[1] * 2 - 1) // strides[1] + 1
        expected = np.zeros((2, high, wide, 4))
        for n, i, j, o in product(range(2), range(high), range(wide), range(4)):
            for c, a, b in product(range(3), range(2), range(3)):
                row, column = i * strides[0] + a * dilations[0], j * strides[1] + b * dilations[1]
                expected[n, i, j, o] += padded[n, c, row, column] * w[o, c, a, b]
        np.testing.assert_allclose(found, expected.reshape(-1, 4), rtol=1e-3, atol=1e-3)

    def test_a_quarter_are_first_tokens(self) -> None:
        """(batch, tokens, channels): of 8 rows at least 2 are class tokens, none twice, all rows of the tensor."""
        values = np.arange(4 * 10).reshape(4, 10, 1).astype(np.float32)

        rows = rows_of(values, None, 8, np.random.default_rng(0))[:, 0]

        assert {0.0, 10.0} <= set(rows.tolist()) and len(set(rows.tolist())) == len(rows) <= 8


def test_an_unknown_norm_is_not_smoothed() -> None:
    """Without a LayerNorm before it a tensor gets no factors, and with `smooth` false neither."""
    norm = Norm("part.norm", "gamma", None, "h", (point(MATMUL, 1),))
    values = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32) * [1, 1, 1, 50]
    for tensor, smooth in (
        (Tensor("h", ("m",), False, None, None, 4), True),
        (Tensor("h", ("m",), False, None, norm, 4), False),
    ):
        statistics = TensorStatistics(tensor)
        statistics.update(values.astype(np.float32))

        chosen = choose(statistics, values.astype(np.float32), np.eye(4, dtype=np.float32), smooth=smooth)

        assert chosen.smoothing is None
