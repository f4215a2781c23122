"""Folding of per-channel factors of a LayerNorm's output into the Linears that follow.

SmoothQuant (https://arxiv.org/abs/2211.10438), on LayerNorms as RepQ-ViT (https://arxiv.org/abs/2212.08254) has it.

A few channels of a LayerNorm are often ten times as large as the others, and one scale for all of them wastes the grid
on those few. Dividing gamma and beta by a factor per channel, and multiplying the rows of the next weights by it,
leaves the function as it was and makes the channels alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from ..errors import ArtifactError
from .layers import MATMUL, Point, layer_of
from .scales import ScaleTable, Smoothing
from .value_types import as_ir

NORM = "LayerNormalization"


@dataclass(frozen=True)
class Norm:
    """LayerNorm whose output goes into Linears and nowhere else.

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


def foldable_norms(model: onnx.ModelProto | ir.Model, found: tuple[Point, ...]) -> tuple[Norm, ...]:
    """Return the LayerNorms that factors can be folded into, in the order of the graph.

    All consumers of the output, past casts, must be Linears among `found`, and neither gamma, beta nor a weight may
    have another reader.
    """
    linears = {point.node: point for point in found if point.kind == MATMUL}
    graph = as_ir(model).graph
    norms = []
    for node in graph:
        if node.op_type != NORM or node.outputs[0].is_graph_output():
            continue
        output, affine = _past_cast(node.outputs[0]), [value for value in node.inputs[1:3] if value is not None]
        readers = [linears.get(use.node.name) if use.idx == 0 else None for use in output.uses()]
        points = tuple(point for point in readers if point and _alone(graph.initializers[point.weight]))
        if points and len(points) == len(readers) and not output.is_graph_output() and all(map(_alone, affine)):
            gamma, beta = affine[0].name, affine[1].name if len(affine) > 1 else None
            norms.append(Norm(layer_of(node, node.name), gamma, beta, output.name, points))
    return tuple(norms)


def _alone(value: ir.Value) -> bool:
    """Return whether a value is an initializer that one node reads."""
    return value.is_initializer() and len(value.uses()) == 1


def _past_cast(value: ir.Value) -> ir.Value:
    """Return the value that the next layers read: in a float16 file a LayerNorm's output is cast before them."""
    nodes = value.consumers()
    return nodes[0].outputs[0] if len(nodes) == 1 and nodes[0].op_type == "Cast" else value


def factors(channels: np.ndarray, weights: list[np.ndarray], alpha: float) -> np.ndarray:
    """Return SmoothQuant's factors: channel range ** alpha / weight range ** (1 - alpha), of geometric mean 1.

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
    model: onnx.ModelProto | ir.Model, found: tuple[Point, ...], table: ScaleTable, modules: Collection[str]
) -> dict[str, np.ndarray]:
    """Return the new values, float32, of the initializers that change when the table's factors are folded in.

    Only norms before at least one of `modules` are touched; of those all Linears change, int8 or not.

    Args:
        model: float32 or float16 export.
        found: its points.
        table: where the factors are.
        modules: layers that will compute in int8.

    Raises:
        ArtifactError: the table smooths a layer that cannot be smoothed in this model.
    """
    model = as_ir(model)
    changed: dict[str, np.ndarray] = {}
    done: set[str] = set()
    for norm in foldable_norms(model, found):
        if not any(point.module in modules for point in norm.points):
            continue
        smoothing = table.of(norm.points[0].module).smoothing
        if smoothing is None:
            continue
        values = {name: model.graph.initializers[name].const_value.numpy() for name in norm.initializers}
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
    """Return the norm's initializers after folding, float32: gamma and beta divided, rows of the weights multiplied.

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
