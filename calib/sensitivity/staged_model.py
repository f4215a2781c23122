"""Model in ONNX Runtime as a chain of segments, any of which can be replaced by its int8 variant.

Batches run side by side, each on one thread. Sessions with threads of their own would wait for work against each other,
and the numbers would depend on how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import onnx

from ...common.machine.cpus import usable_cpus
from ...graph.layers import Point, points
from ...graph.quantize import int8_points, quantized, with_scales
from ...graph.scales import ScaleTable
from ...graph.split import cut, extract
from ...runtime.backends.base import Backend
from ...runtime.backends.onnxruntime import OnnxRuntimeBackend

T = TypeVar("T")

#: Values by name: those of one batch that later segments read.
Values = dict[str, np.ndarray]


class Chain:
    """Float model cut into segments, each a session.

    Args:
        model: as exported.
        table: scales of its layers.
        layout: of Q/DQ nodes, see `quantize.LAYOUTS`.
        threads: batches that run at once; None = the processors that this process may use.

    Attributes:
        segments: in order.
        points: what computes in int8 in this layout.
        place: number of the segment that holds a module.

    Raises:
        ArtifactError: the model cannot be taken apart, or the table is of another model.
    """

    def __init__(self, model: onnx.ModelProto, table: ScaleTable, layout: str, threads: int | None = None) -> None:
        self.segments = cut(model)
        self.points: tuple[Point, ...] = with_scales(int8_points(points(model), layout), table)
        self._model, self._table, self._layout = model, table, layout
        self._threads = threads or usable_cpus()
        nodes = {node.name: i for i, node in enumerate(model.graph.node)}
        self.place: dict[str, int] = {
            point.module: next(i for i, part in enumerate(self.segments) if nodes[point.node] < part.stop)
            for point in self.points
        }
        for point in self.points:
            table.of(point.module)
        self._float = [self._open(extract(model, segment)) for segment in self.segments]
        # the one that artifacts are compared by comes first
        self._result = model.graph.output[0].name

    def _open(self, model: onnx.ModelProto) -> Backend:
        return OnnxRuntimeBackend(model.SerializeToString(), device="cpu", threads=1)

    def in_int8(self, modules: Sequence[str]) -> dict[int, Backend]:
        """Open sessions of the segments that hold `modules`, with these in int8; by the number of the segment."""
        variants = {}
        for number in sorted({self.place[module] for module in modules}):
            own = {module for module in modules if self.place[module] == number}
            part = extract(self._model, self.segments[number])
            variants[number] = self._open(quantized(part, self._table, self._layout, own))
        return variants

    def step(self, number: int, values: Sequence[Values]) -> list[Values]:
        """Run one segment: from the values that the segments from `number` on need to those after it, per batch."""
        return self._each(values, lambda batch: self._run(self._float[number], number, batch))

    def finish(self, number: int, values: Sequence[Values], variants: Mapping[int, Backend]) -> np.ndarray:
        """Run all segments from `number` on, those in `variants` replaced; returns embeddings (samples, dim)."""

        def embed(batch: Values) -> np.ndarray:
            for i in range(number, len(self.segments)):
                batch = self._run(variants.get(i, self._float[i]), i, batch)
            return batch[self._result]

        return np.concatenate(self._each(values, embed))

    def _each(self, values: Sequence[Values], run: Callable[[Values], T]) -> list[T]:
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(run, values))

    def _run(self, backend: Backend, number: int, values: Values) -> Values:
        return self._kept(number, values, backend.run({name: values[name] for name in backend.inputs}))

    def _kept(self, number: int, values: Values, found: Values) -> Values:
        """Return the values that segments after `number` read, or that the graph returns."""
        later = {name for part in self.segments[number + 1 :] for name in part.inputs} | {self._result}
        return {name: value for name, value in {**values, **found}.items() if name in later}

    def work(self, values: Values) -> dict[str, int]:
        """Count the multiplications of every layer; `values` are the graph's inputs for one sample."""
        nodes = {node.name: node for node in self._model.graph.node}
        weights = {tensor.name: tensor.dims for tensor in self._model.graph.initializer}
        counts = {}
        for number, segment in enumerate(self.segments):
            own = [point for point in self.points if self.place[point.module] == number]
            outputs = {point.module: nodes[point.node].output[0] for point in own}
            probe = self._open(extract(self._model, segment, tuple(outputs.values())))
            found = probe.run({name: values[name] for name in probe.inputs})
            for point in own:
                positions = found[outputs[point.module]].size // weights[point.weight][point.axis]
                counts[point.module] = positions * math.prod(weights[point.weight])
            values = self._kept(number, values, found)
        return counts
