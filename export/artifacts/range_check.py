"""Which modules must stay float32 in a float16 model: their values come near the end of float16 on real images.

The float32 model runs in ONNX Runtime with two numbers more for every value that would be rounded to float16: its
largest magnitude, and a sum that is not finite where the value is not. bfloat16 needs no such check.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...common.foreign_text import escaped
from ...common.progress import Track, silent
from ...errors import ExportError, InputError
from ...graph.cast import FLOAT16_MAX
from ...graph.cast_plan import TypePlan, moves_only, plan_types
from ...graph.onnx_file import without_weights
from ...graph.value_types import module_of
from ...runtime.backends.onnxruntime import OnnxRuntimeBackend

log = logging.getLogger("mambapro")

#: Share of float16's range beyond which a module stays float32: other images than these may reach twice as far.
SHARE = 0.5
_MAX, _SUM = "/max", "/sum"


@dataclass(frozen=True)
class WideValue:
    """A value or weight that comes near the end of float16.

    Attributes:
        name: in the graph.
        module: that makes it; of a weight, the first that reads it.
        largest: its largest magnitude.
        keep: modules that must stay float32 for it: those that make it and those that compute with it.
    """

    name: str
    module: str
    largest: float
    keep: tuple[str, ...]


@dataclass(frozen=True)
class RangeReport:
    """What a range check found. `checked` counts values, `largest` is the largest magnitude of all of them."""

    samples: int
    checked: int
    share: float
    largest: float
    wide: tuple[WideValue, ...]

    @property
    def keep(self) -> tuple[str, ...]:
        """For `typed`: names of the modules that stay float32, none below another."""
        names = sorted({name for value in self.wide for name in value.keep})
        return tuple(name for name in names if not any(name.startswith(f"{above}.") for above in names if above))

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {**asdict(self), "keep": list(self.keep)}

    def __str__(self) -> str:
        limit = self.share * FLOAT16_MAX
        lines = [
            f"range check: {self.checked} values on {self.samples} samples, largest {self.largest:.4g}, "
            f"limit {limit:.0f} ({self.share:.0%} of float16)"
        ]
        if not self.wide:
            return "\n".join([*lines, "nothing comes near the end of float16"])
        width = max(len(value.module or _OWN) for value in self.wide)
        lines += [f"{'module':{width}}  {'largest':>9}  value"]
        lines += [f"{value.module or _OWN:{width}}  {value.largest:9.4g}  {value.name}" for value in self.wide]
        return "\n".join([*lines, "kept in float32: " + ", ".join(name or _OWN for name in self.keep)])


_OWN = "(the model itself)"


def range_check(
    model: onnx.ModelProto,
    feeds: Iterable[Mapping[str, np.ndarray]],
    share: float = SHARE,
    threads: int | None = None,
    track: Track = silent,
) -> RangeReport:
    """Run the float32 model on images and find what must stay float32 in float16.

    Args:
        model: as `onnx_from_model` returns it; it is not changed.
        feeds: the graph's inputs, a batch at a time; small batches take little memory.
        share: of 65504, above 0 and at most 1.
        threads: of ONNX Runtime.
        track: shows progress.

    Raises:
        InputError: a share that is none, no feeds, or a graph that is typed or quantized.
        ExportError: a value is NaN or infinite in float32 already, named with its module.
    """
    if not 0 < share <= 1:
        raise InputError(f"The share of float16's range must be above 0 and at most 1, not {share}.")
    graph = _Graph(model)
    names = list(graph.watched)
    found, samples = _largest(model, names, feeds, threads, track)
    found |= graph.weights
    for name, value in found.items():
        if not np.isfinite(value):
            raise ExportError(
                f"{name} in {graph.home(name) or _OWN} is {'NaN' if np.isnan(value) else 'infinite'} in float32 "
                "already; is the checkpoint whole, and are these images?"
            )
    wide = tuple(
        WideValue(name, graph.home(name), value, graph.keep(name))
        for name, value in found.items()
        if value > share * FLOAT16_MAX
    )
    return RangeReport(samples, len(found), share, max(found.values(), default=0.0), wide)


def modules_to_keep(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], track: Track = silent) -> tuple[str, ...]:
    """`range_check` for `typed`, told in the log. `feeds` holds the samples one after another.

    Raises:
        as `range_check`.
    """
    samples = min(map(len, feeds.values()))
    # one at a time: most of the time of a few samples goes into memory that is used for the first time
    found = range_check(model, [{n: x[i : i + 1] for n, x in feeds.items()} for i in range(samples)], track=track)
    log.info("%s", found)
    return found.keep


class _Graph:
    """Who makes and who reads the values that would be rounded to float16."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.plan: TypePlan = plan_types(model, "fp16")
        self.nodes = list(model.graph.node)
        self.low = dict(zip(map(id, self.nodes), self.plan.low_nodes, strict=True))
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        #: values of nodes that compute; what only moves numbers has no others
        self.watched = [
            name
            for node in self.nodes
            if not moves_only(node)
            for name in node.output
            if self.plan.types.get(name) == TensorProto.FLOAT and self._rounded(name)
        ]
        self.weights = {
            tensor.name: _magnitude(tensor)
            for tensor in model.graph.initializer
            if tensor.data_type == TensorProto.FLOAT and self._computing(tensor.name, set())
        }

    def _rounded(self, name: str) -> bool:
        return name in self.plan.low_values or bool(self._computing(name, set()))

    def _computing(self, name: str, seen: set[str]) -> list[onnx.NodeProto]:
        """Nodes that compute in float16 with a value, also after it was moved."""
        found = []
        for node in self.readers.get(name, []):
            if not moves_only(node):
                found += [node] if self.low[id(node)] else []
                continue
            for output in node.output:
                if output not in seen:
                    seen.add(output)
                    found += self._computing(output, seen)
        return found

    def home(self, name: str) -> str:
        """Module of a value; of a weight, the first that reads it."""
        node = self.makers.get(name)
        if node is None:
            readers = self._computing(name, set()) or self.readers[name]
            node = readers[0]
        return module_of(node) or ""

    def keep(self, name: str) -> tuple[str, ...]:
        """Modules that must stay float32 for a value to do so."""
        nodes = self._computing(name, set())
        if name in self.makers:
            nodes.append(self.makers[name])
        return tuple(sorted({self._module(node) for node in nodes}))

    def _module(self, node: onnx.NodeProto) -> str:
        module = module_of(node)
        if module is None:
            raise ExportError(
                f"{node.op_type} ({escaped(node.name)}) reaches beyond float16, and no module is known for it."
            )
        return module


def _magnitude(tensor: onnx.TensorProto) -> float:
    values = numpy_helper.to_array(tensor)
    return float(np.abs(values).max(initial=0))


def _largest(
    model: onnx.ModelProto,
    names: Collection[str],
    feeds: Iterable[Mapping[str, np.ndarray]],
    threads: int | None,
    track: Track,
) -> tuple[dict[str, float], int]:
    """Largest magnitude of each value over all feeds, NaN or infinite where it is; and the number of samples."""
    traced, weights = _with_magnitudes(model, names)
    backend = OnnxRuntimeBackend(traced, device="cpu", threads=threads, weights=weights)
    largest, samples = dict.fromkeys(names, 0.0), 0
    total = len(feeds) if isinstance(feeds, Sized) else None
    for batch in track(feeds, "range check", total):
        found = backend.run({name: value for name, value in batch.items() if name in backend.inputs})
        samples += max(len(value) for value in batch.values())
        for name in names:
            # a maximum may pass over NaN, a sum does not
            magnitude, total_of = float(found[name + _MAX]), float(found[name + _SUM])
            largest[name] = float(np.maximum(largest[name], magnitude if np.isfinite(total_of) else total_of))
    backend.close()
    if not samples:
        raise InputError("The range check needs at least one image.")
    return largest, samples


def _with_magnitudes(model: onnx.ModelProto, names: Collection[str]) -> tuple[bytes, dict[str, np.ndarray]]:
    """The model with the largest magnitude and the sum of magnitudes of each value as outputs; and its weights."""
    traced, weights = without_weights(model)
    graph = traced.graph
    for name in names:
        graph.node.append(helper.make_node("Abs", [name], [f"{name}/abs"]))
        for operator, suffix in (("ReduceMax", _MAX), ("ReduceSum", _SUM)):
            graph.node.append(helper.make_node(operator, [f"{name}/abs"], [name + suffix], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(name + suffix, TensorProto.FLOAT, ()))
    return traced.SerializeToString(), weights
