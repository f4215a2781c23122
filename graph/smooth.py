"""Folding per-channel factors of a LayerNorm's output into the Linears that follow (SmoothQuant, RepQ-ViT).

A few channels of a LayerNorm are often ten times as large as the others, and one scale for all of them wastes the grid
on those few. Dividing gamma and beta by a factor per channel, and multiplying the rows of the next weights by it,
leaves the function as it was and makes the channels alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from ..errors import ArtifactError
from .layers import MATMUL, Point, module_of
from .scales import ScaleTable, Smoothing

NORM = "LayerNormalization"


@dataclass(frozen=True)
class Norm:
    """A LayerNorm whose output goes into Linears and nowhere else.

    Attributes:
        module: its name in the trained model.
        gamma, beta: names of its initializers; `beta` is None where it has none.
        input: the tensor that the Linears read: its output, or that output after a cast.
        points: the Linears.
    """

    module: str
    gamma: str
    beta: str | None
    input: str
    points: tuple[Point, ...]

    @property
    def initializers(self) -> tuple[str, ...]:
        """Names of everything that folding changes."""
        own = (self.gamma,) if self.beta is None else (self.gamma, self.beta)
        return (*own, *(point.weight for point in self.points))


def foldable_norms(model: onnx.ModelProto, found: tuple[Point, ...]) -> tuple[Norm, ...]:
    """The LayerNorms that factors can be folded into, in the order of the graph.

    All consumers of the output, past casts, must be Linears among `found`, and neither gamma, beta nor a weight may be
    anybody else's.
    """
    readers = _readers(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    by_node = {point.node: point for point in found if point.kind == MATMUL}
    outputs = {value.name for value in model.graph.output}
    norms = []
    for node in model.graph.node:
        if node.op_type != NORM or node.output[0] in outputs:
            continue
        tensor = _past_cast(node.output[0], readers)
        linears = [by_node.get(reader.name) for reader in readers.get(tensor, ())]
        own = [name for name in node.input[1:3] if name]
        if tensor in outputs or not linears or not all(name in weights and len(readers[name]) == 1 for name in own):
            continue
        points = tuple(point for point in linears if point is not None and len(readers[point.weight]) == 1)
        if len(points) == len(linears) and all(point.input == tensor for point in points):
            beta = own[1] if len(own) > 1 else None
            norms.append(Norm(module_of(node, node.name), own[0], beta, tensor, points))
    return tuple(norms)


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _past_cast(tensor: str, readers: Mapping[str, list[onnx.NodeProto]]) -> str:
    """In a float16 file a LayerNorm computes in float32, and its output is cast for the next layer."""
    nodes = readers.get(tensor, [])
    return nodes[0].output[0] if len(nodes) == 1 and nodes[0].op_type == "Cast" else tensor


def factors(channels: np.ndarray, weights: list[np.ndarray], alpha: float) -> np.ndarray:
    """SmoothQuant's factors: channel range ** alpha / weight range ** (1 - alpha), of geometric mean 1.

    Args:
        channels: (width,) largest absolute value of each channel of the activation.
        weights: of the Linears that read it, (width, outputs).
        alpha: 0 leaves all of the difficulty in the activation, 1 moves all of it into the weights.

    Returns:
        float32 (width,); 1 for channels that are always zero.
    """
    rows = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0).astype(np.float64)
    range_ = channels.astype(np.float64)
    alive = (range_ > 0) & (rows > 0)
    result = np.ones(len(range_))
    result[alive] = range_[alive] ** alpha / rows[alive] ** (1 - alpha)
    if alive.any():
        result[alive] /= np.exp(np.log(result[alive]).mean())
    # a channel that calibration hardly saw must not be blown up when it does come
    return np.clip(result, 1e-2, 1e2).astype(np.float32)


def folded(
    model: onnx.ModelProto, found: tuple[Point, ...], table: ScaleTable, modules: Collection[str]
) -> dict[str, np.ndarray]:
    """New values, float32, of the initializers that change when the table's factors are folded in.

    Only norms before at least one of `modules` are touched; of those all Linears change, int8 or not.

    Args:
        model: float32 or float16 export.
        found: its points.
        table: where the factors are.
        modules: layers that will compute in int8.

    Raises:
        ArtifactError: the table smooths a layer that cannot be smoothed in this model.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    changed: dict[str, np.ndarray] = {}
    done: set[str] = set()
    for norm in foldable_norms(model, found):
        if not any(point.module in modules for point in norm.points):
            continue
        smoothing = table.of(norm.points[0].module).smoothing
        if smoothing is None:
            continue
        values = {name: numpy_helper.to_array(weights[name]) for name in norm.initializers}
        changed.update(fold(norm, smoothing, values))
        done |= {point.module for point in norm.points}
    for module in modules:
        if module not in done and table.of(module).smoothing is not None:
            raise ArtifactError(
                f"The table of scales smooths {module}, but in this model no LayerNorm goes into it alone. The table "
                "belongs to another model: calibrate this one."
            )
    return changed


def fold(norm: Norm, smoothing: Smoothing, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The norm's initializers after folding, float32: gamma and beta divided, rows of the weights multiplied.

    Raises:
        ArtifactError: another number of channels.
    """
    divisor = np.array(smoothing.factors, np.float32)
    if len(divisor) != len(values[norm.gamma]):
        raise ArtifactError(
            f"The table of scales has {len(divisor)} factors for {norm.module}, which has {len(values[norm.gamma])} "
            "channels. It belongs to another model: calibrate this one."
        )
    result = {name: values[name].astype(np.float32) / divisor for name in (norm.gamma, norm.beta) if name}
    for point in norm.points:
        result[point.weight] = values[point.weight].astype(np.float32) * divisor[:, None]
    return result
