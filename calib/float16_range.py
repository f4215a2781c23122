"""Range check for float16: modules whose values approach the overflow limit on real images stay float32.

The float32 model runs in ONNX Runtime with two additional numbers for every value that would be rounded to float16: its
largest magnitude, and a sum that is not finite if the value is not. bfloat16 needs no such check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from ..common.foreign_text import escaped
from ..common.progress import Track, silent
from ..errors import ExportError, InputError
from ..graph.cast import FLOAT16_MAX
from ..graph.cast_plan import TypePlan, is_float, moves_only, plan_types
from ..graph.onnx_file import without_weights
from ..graph.value_types import module_of, with_types
from ..runtime.backends.onnxruntime import OnnxRuntimeBackend

#: Share of float16's range beyond which a module stays float32: other images than these may reach twice as far.
SHARE = 0.5
_MAX, _SUM = "/max", "/sum"


@dataclass(frozen=True)
class WideValue:
    """Value or weight that approaches the float16 overflow limit.

    Attributes:
        name: in the graph.
        module: its producer; of a weight, the first reader.
        largest: its largest magnitude.
        keep: modules that must stay float32 for it: producers and consumers.
    """

    name: str
    module: str
    largest: float
    keep: tuple[str, ...]


@dataclass(frozen=True)
class RangeReport:
    """Result of a range check. `checked` counts values, `largest` is the largest magnitude of all of them."""

    samples: int
    checked: int
    share: float
    largest: float
    wide: tuple[WideValue, ...]

    @property
    def keep(self) -> tuple[str, ...]:
        """Names of the modules that stay float32, none below another; for `typed`."""
        names = sorted({name for value in self.wide for name in value.keep})
        return tuple(name for name in names if not any(name.startswith(f"{above}.") for above in names if above))

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
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
    """Run the float32 model on images and find the modules that must stay float32 in float16.

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
    magnitudes, samples = _largest(model, names, feeds, threads, track)
    magnitudes |= graph.magnitudes()
    for name, value in magnitudes.items():
        if not np.isfinite(value):
            raise ExportError(
                f"{name} in {graph.home(name) or _OWN} is {'NaN' if np.isnan(value) else 'infinite'} in float32 "
                "already; is the checkpoint whole, and are these images?"
            )
    wide = tuple(
        WideValue(name, graph.home(name), value, graph.keep(name))
        for name, value in magnitudes.items()
        if value > share * FLOAT16_MAX
    )
    return RangeReport(samples, len(magnitudes), share, max(magnitudes.values(), default=0.0), wide)


class _Graph:
    """Producers and consumers of the values that would be rounded to float16."""

    def __init__(self, model: onnx.ModelProto) -> None:
        typed_model = with_types(model)
        self.plan: TypePlan = plan_types(typed_model, "fp16")
        outputs = [value for node in typed_model.graph if not moves_only(node) for value in node.outputs]
        #: values of nodes that compute; data movement returns no others
        self.watched = {value.name: value for value in filter(is_float, outputs) if self._rounded(value)}
        weights = filter(is_float, typed_model.graph.initializers.values())
        self.weights = {value.name: value for value in weights if self._computing(value, set())}

    def magnitudes(self) -> dict[str, float]:
        """Return the largest magnitude of each weight."""
        return {name: float(np.abs(v.const_value.numpy()).max(initial=0)) for name, v in self.weights.items()}

    def _rounded(self, value: ir.Value) -> bool:
        return value in self.plan.values or bool(self._computing(value, set()))

    def _computing(self, value: ir.Value, seen: set[ir.Value]) -> list[ir.Node]:
        """Return the nodes that compute in float16 with a value, also after data movement."""
        nodes = []
        for node in value.consumers():
            if not moves_only(node):
                nodes += [node] if node in self.plan.nodes else []
                continue
            for output in node.outputs:
                if output not in seen:
                    seen.add(output)
                    nodes += self._computing(output, seen)
        return nodes

    def home(self, name: str) -> str:
        """Return the module of a value; of a weight, that of the first reader."""
        producer = self.watched[name].producer() if name in self.watched else None
        return module_of(producer or self._computing(self.weights[name], set())[0]) or ""

    def keep(self, name: str) -> tuple[str, ...]:
        """Return the modules that must stay float32 for a value to do so."""
        if name in self.watched:
            nodes = [*self._computing(self.watched[name], set()), self.watched[name].producer()]
        else:
            nodes = self._computing(self.weights[name], set())
        return tuple(sorted({self._module(node) for node in nodes}))

    def _module(self, node: ir.Node) -> str:
        module = module_of(node)
        if module is None:
            raise ExportError(
                f"{node.op_type} ({escaped(node.name)}) reaches beyond float16, and no module is known for it."
            )
        return module


def _largest(
    model: onnx.ModelProto,
    names: Collection[str],
    feeds: Iterable[Mapping[str, np.ndarray]],
    threads: int | None,
    track: Track,
) -> tuple[dict[str, float], int]:
    """Return the largest magnitude of each value over all feeds (may be NaN), and the number of samples."""
    traced, weights = _with_magnitudes(model, names)
    backend = OnnxRuntimeBackend(traced, device="cpu", threads=threads, weights=weights)
    largest, samples = dict.fromkeys(names, 0.0), 0
    total = len(feeds) if isinstance(feeds, Sized) else None
    for batch in track(feeds, "Checking the float16 range: batches", total):
        outputs = backend.run({name: value for name, value in batch.items() if name in backend.inputs})
        samples += max(len(value) for value in batch.values())
        for name in names:
            # a maximum may ignore NaN, a sum does not
            magnitude, total_of = float(outputs[name + _MAX]), float(outputs[name + _SUM])
            largest[name] = float(np.maximum(largest[name], magnitude if np.isfinite(total_of) else total_of))
    backend.close()
    if not samples:
        raise InputError("The range check needs at least one image.")
    return largest, samples


def _with_magnitudes(model: onnx.ModelProto, names: Collection[str]) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return the model with largest magnitude and sum of magnitudes of each value as outputs; and its weights."""
    traced, weights = without_weights(model)
    values = ir.convenience.create_value_mapping(traced.graph)
    scalar = ir.TensorType(ir.DataType.FLOAT)
    for name in names:
        absolute = ir.Node("", "Abs", [values[name]], outputs=[ir.Value(name=f"{name}/abs")])
        traced.graph.append(absolute)
        for operator, suffix in (("ReduceMax", _MAX), ("ReduceSum", _SUM)):
            output = ir.Value(name=name + suffix, type=scalar, shape=ir.Shape(()))
            traced.graph.append(
                ir.Node("", operator, absolute.outputs, [ir.AttrInt64("keepdims", 0)], outputs=[output])
            )
            traced.graph.outputs.append(output)
    return ir.to_proto(traced).SerializeToString(), weights
