"""Choice of threshold and smoothing for each tensor, by the measured error in the layers' output.

The error of the tensor itself says little: a layer may weigh the channel that suffers with nothing, or with everything.
So rows that were never part of the statistics go through the layer twice, in float32 and in int8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper

from ..graph.layers import CONV, GEMM, Point
from ..graph.quantize import int8_weight
from ..graph.scales import LEVELS, Activation, Smoothing
from ..graph.smooth import factors
from .histogram import AbsHistogram
from .statistics import TensorStatistics
from .thresholds import ALGORITHMS, AUTO, DEFAULT_PERCENTILE, MSE, threshold

#: Shares of the activation's range in the smoothing factors that are tried.
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
#: Share of the error that has to be gone before measured rows overrule MSE, or before a float graph is smoothed. With
#: less of a lead the choice follows the luck of the rows, and embeddings of other images get worse.
_CLEARLY = 0.1
#: Multiplications that one measurement may take, which decides on how many rows; and the limits of that.
_WORK, _FEWEST_ROWS, _MOST_ROWS = 2**30, 256, 2048


#: (kernel, strides, pads, dilations) of a convolution.
Window = tuple[tuple[int, ...], ...]


def matrix_of(weights: Mapping[str, onnx.TensorProto], readers: Sequence[Point]) -> np.ndarray:
    """Return the weights of all readers of a tensor: float32 (inputs, outputs), the layers' outputs side by side."""
    matrices = [_matrix(numpy_helper.to_array(weights[point.weight]), point) for point in readers]
    return np.concatenate(matrices, axis=1, dtype=np.float32)


def rows_worth(weights: Mapping[str, onnx.TensorProto], readers: Sequence[Point]) -> int:
    """Return the number of rows to measure a tensor's errors on.

    It is larger for small layers, such as those of the scans, whose inputs have the longest tails.
    """
    size = sum(int(np.prod(weights[point.weight].dims)) for point in readers)
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _WORK // size))


def window_of(node: onnx.NodeProto, weight: onnx.TensorProto) -> Window | None:
    """Return how a convolution moves over its input; None of a Linear."""
    return _window(node, tuple(weight.dims[2:])) if node.op_type == "Conv" else None


def _matrix(weight: np.ndarray, point: Point) -> np.ndarray:
    if point.kind == CONV:
        return weight.reshape(len(weight), -1).T
    return weight.T if point.kind == GEMM and point.axis == 0 else weight


def _window(node: onnx.NodeProto, kernel: tuple[int, ...]) -> Window:
    given = {attribute.name: tuple(attribute.ints) for attribute in node.attribute}
    ones = (1,) * len(kernel)
    pads = given.get("pads", (0,) * 2 * len(kernel))
    return kernel, given.get("strides", ones), pads, given.get("dilations", ones)


def rows_of(values: np.ndarray, window: Window | None, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return at most `count` rows, float32 (rows, inputs), of a layer's input, as its matrix takes them.

    A quarter are first tokens where there are any: half of the embedding comes from the class token alone.
    """
    if window is not None:
        values = _unfolded(values, window)
        flat = generator.choice(int(np.prod(values.shape[: values.ndim // 2])), count)
        place = np.unravel_index(np.unique(flat), values.shape[: values.ndim // 2])
        return np.ascontiguousarray(values[place].reshape(len(place[0]), -1))
    rows = values.reshape(-1, values.shape[-1])
    tokens = values.shape[-2] if values.ndim > 2 else 1
    first = np.arange(0, len(rows), tokens)[: count // 4]
    others = generator.permutation(len(rows))[: count - len(first)]
    return rows[np.union1d(first, others)]


def _unfolded(values: np.ndarray, window: Window) -> np.ndarray:
    """Return patches of images: (N, C, spatial...) -> a view (N, output positions..., C, kernel...)."""
    kernel, strides, pads, dilations = window
    n = len(kernel)
    padded = np.pad(values, [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)])
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    views = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + n)))
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    views = views[(slice(None), slice(None), *steps)]
    return np.moveaxis(views, 1, 1 + n)


class Meter:
    """Errors that int8 makes in a layer's output, relative to the output's size, on some rows of its input."""

    def __init__(self, rows: np.ndarray, matrix: np.ndarray) -> None:
        self.rows = rows
        self.expected = rows @ matrix
        self.size = max(float(np.linalg.norm(self.expected)), 1e-30)
        whole, scale = int8_weight(matrix, 1, np.dtype(np.float32))
        self.weight = whole * scale

    def error(self, limit: float) -> float:
        """Return ||int8(x) int8(W) - x W|| / ||x W|| for a `limit` that becomes 127."""
        step = np.float32(limit / LEVELS)
        rounded = np.clip(np.rint(self.rows / step), -LEVELS, LEVELS) * step
        return float(np.linalg.norm(rounded @ self.weight - self.expected)) / self.size


def choose(
    statistics: TensorStatistics,
    rows: np.ndarray,
    matrix: np.ndarray,
    algorithm: str = AUTO,
    percentile: float = DEFAULT_PERCENTILE,
    smooth: bool = True,
) -> Activation:
    """Choose the scale of one tensor.

    Args:
        statistics: of the tensor, which is not constant.
        rows: (rows, inputs) that go into its layers, not part of the statistics.
        matrix: of its layers, from `matrix_of`.
        algorithm: one of ALGORITHMS, or AUTO: MSE, or whichever makes a clearly smaller measured error.
        percentile: see `threshold`.
        smooth: fold factors into the LayerNorm before it, where there is one and the error falls.
    """
    observed = statistics.observed()
    tried = ALGORITHMS if algorithm == AUTO else (algorithm,)
    limits = {name: threshold(statistics.histogram, observed.absmax, name, percentile) for name in tried}
    meter = Meter(rows, matrix)
    errors = {name: meter.error(limit) for name, limit in limits.items()}
    best = _best(errors)
    plain = Activation(statistics.tensor.modules, best, limits[best], observed, errors)
    if not smooth or statistics.tensor.norm is None:
        return plain
    smoothed = [_smoothed(plain, statistics, rows, matrix, alpha, tried, percentile) for alpha in ALPHAS]
    best_smoothed = min(smoothed, key=lambda entry: entry.error or 0.0)
    return best_smoothed if (best_smoothed.error or 0.0) < (1 - _CLEARLY) * errors[best] else plain


def _best(errors: Mapping[str, float]) -> str:
    """Return the algorithm of least error, but MSE unless another one is clearly better.

    MSE weighs every value of every image; the errors are of some rows of a few.
    """
    least = min(errors, key=errors.__getitem__)
    return least if MSE not in errors or errors[least] < (1 - _CLEARLY) * errors[MSE] else MSE


def _smoothed(
    plain: Activation,
    statistics: TensorStatistics,
    rows: np.ndarray,
    matrix: np.ndarray,
    alpha: float,
    tried: Sequence[str],
    percentile: float,
) -> Activation:
    norm = statistics.tensor.norm
    assert norm is not None
    divisor = factors(statistics.channels, [matrix], alpha)
    meter = Meter(rows / divisor, matrix * divisor[:, None])
    # only the maxima of all images are known channel by channel; how the values lie below is taken from the rows
    largest = float((statistics.channels / divisor).max())
    histogram = AbsHistogram()
    magnitudes = np.abs(meter.rows)
    histogram.add(magnitudes, float(magnitudes.max()))
    limits = {name: threshold(histogram, largest, name, percentile) for name in tried}
    errors = {name: meter.error(limit) for name, limit in limits.items()}
    best = _best(errors)
    smoothing = Smoothing(norm.module, alpha, tuple(map(float, divisor)), errors[best])
    return replace(plain, algorithm=best, threshold=limits[best], smoothing=smoothing)
