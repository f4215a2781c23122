"""Float32 ONNX to typed ONNX: weights and products in float16 or bfloat16, islands in float32, casts between them.

The types stand in the file, as every runtime wants it since TensorRT 11. Nothing is exported again: the graph, the
names of its values and the modules of its nodes stay, and only Casts come in, one for each value and type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..common.foreign_text import escaped
from ..errors import ExportError, InputError
from ..plugins.selective_scan.schema import DOMAIN, INPUTS
from ..plugins.selective_scan.tensorrt.rules import PARAMETERS
from ..runtime.bundle.artifact import ONNXRUNTIME, OPENVINO, TENSORRT, TENSORRT_RTX
from .cast_plan import TypePlan, plan_types
from .onnx_file import copy_fields
from .value_types import formals, schema_of, standard_opset, takes

#: The largest finite float16; bfloat16 ends where float32 does.
FLOAT16_MAX = 65504.0
_FLOAT = TensorProto.FLOAT


def require_runs_on(target: str, precision: str) -> None:
    """Refuse what a target has no arithmetic for.

    Raises:
        InputError: bf16 on ONNX Runtime, whose CPU has no matrix product in it.
    """
    if (target, precision) == (ONNXRUNTIME, "bf16"):
        raise InputError(
            "ONNX Runtime has no bf16 matrix product on CPUs. For bf16 take "
            f"--target {OPENVINO} (which computes the fp32 file in bf16), {TENSORRT} or {TENSORRT_RTX}; "
            f"for {ONNXRUNTIME} take fp16 or int8."
        )


def typed(model: onnx.ModelProto, precision: str, keep: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of a float32 model that computes in float16 or bfloat16, but for its islands.

    Inputs and outputs keep names, types and shapes; so do the values inside, but for their element type.

    Args:
        model: as `onnx_from_model` returns it; it is not changed.
        precision: "fp16" or "bf16". In bf16 convolutions stay float32: ONNX has no other before opset 22.
        keep: modules that stay float32, such as "backbone.layers.7.mlp", with all that is below them.

    Raises:
        InputError: another precision, a name in `keep` that no module has, or a graph that is typed or quantized.
        ExportError: a weight does not fit into float16, or the graph holds what this does not know.
    """
    plan = plan_types(model, precision, keep)
    return _Writer(model, plan, "_" + precision).written()


class _Writer:
    """Writes a graph anew with the types of a plan."""

    def __init__(self, model: onnx.ModelProto, plan: TypePlan, suffix: str) -> None:
        self.model, self.plan, self.suffix = model, plan, suffix
        self.opset = standard_opset(model)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        #: what a cast reads, what it makes, and of which type that is
        self.casts: list[tuple[str, str, int]] = []
        #: (value, element type) -> the name under which it can be read in that type
        self.names: dict[tuple[str, int], str] = {}
        #: initializer -> element types that are read
        self.used: dict[str, set[int]] = {}

    def written(self) -> onnx.ModelProto:
        graph = self.model.graph
        outputs = {value.name for value in graph.output}
        both = self._read_in_both_types()
        for node, low in zip(graph.node, self.plan.low_nodes, strict=True):
            new = onnx.NodeProto()
            new.CopyFrom(node)
            for i, element in self._demands(node, low):
                new.input[i] = self._read(node.input[i], element, node, both)
            self.nodes.append(new)
            for i, name in enumerate(node.output):
                if name in outputs and name in self.plan.low_values:
                    new.output[i] = name + self.suffix
                    self.names[name, self.plan.element] = new.output[i]
                    self._cast(new.output[i], name, _FLOAT, node)
        return self._assembled(both, outputs)

    def _demands(self, node: onnx.NodeProto, low: bool) -> Iterator[tuple[int, int]]:
        """Position and element type of every float input."""
        element = self.plan.element if low else _FLOAT
        if node.domain == DOMAIN:
            for i, name in enumerate(INPUTS):
                yield i, _FLOAT if name in PARAMETERS else element
            return
        schema = schema_of(node, self.opset)
        wants_any = node.op_type == "Cast"
        described = dict(formals(node, schema))
        for i, name in enumerate(node.input):
            if self.plan.types.get(name) != _FLOAT or (wants_any and name in self.plan.low_values):
                continue
            yield i, element if takes(schema, described[name], element) else _FLOAT

    def _read_in_both_types(self) -> set[str]:
        """Initializers that need a copy in each type."""
        for node, low in zip(self.model.graph.node, self.plan.low_nodes, strict=True):
            for i, element in self._demands(node, low):
                if node.input[i] in self.constants:
                    self.used.setdefault(node.input[i], set()).add(element)
        return {name for name, elements in self.used.items() if len(elements) > 1}

    def _read(self, name: str, element: int, node: onnx.NodeProto, both: set[str]) -> str:
        if name in self.constants:
            return name + self.suffix if name in both and element != _FLOAT else name
        stored = self.plan.element if name in self.plan.low_values else _FLOAT
        if (name, element) not in self.names:
            if stored == element:
                return name
            made = f"{name}_{'fp32' if element == _FLOAT else self.suffix[1:]}"
            self._cast(name, made, element, node)
            self.names[name, element] = made
        return self.names[name, element]

    def _cast(self, source: str, target: str, element: int, node: onnx.NodeProto) -> None:
        cast = helper.make_node("Cast", [source], [target], name=f"cast/{target}", to=element)
        cast.metadata_props.extend(node.metadata_props)
        self.nodes.append(cast)
        self.casts.append((source, target, element))

    def _assembled(self, both: set[str], outputs: set[str]) -> onnx.ModelProto:
        # a copy of everything but the weights, which are by far the most
        model, graph = onnx.ModelProto(), self.model.graph
        copy_fields(self.model, model, ("graph",))
        copy_fields(graph, model.graph, ("node", "initializer", "value_info"))
        model.graph.node.extend(self.nodes)
        for name, tensor in self.constants.items():
            elements = self.used.get(name, set())
            if elements != {self.plan.element}:
                model.graph.initializer.add().CopyFrom(tensor)
            if self.plan.element in elements:
                new = _converted(tensor, self.plan.element)
                new.name = name + self.suffix if name in both else name
                model.graph.initializer.append(new)
        halved = {name for name, elements in self.used.items() if elements == {self.plan.element}}
        for value in graph.value_info:
            new_value = model.graph.value_info.add()
            new_value.CopyFrom(value)
            if value.name in halved or (value.name in self.plan.low_values and value.name not in outputs):
                new_value.type.tensor_type.elem_type = self.plan.element
        self._describe_casts(model.graph)
        return model

    def _describe_casts(self, graph: onnx.GraphProto) -> None:
        """What casts make has the shape of what they read; an output that one makes is described already."""
        known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        outputs = {value.name for value in graph.output}
        for source, target, element in self.casts:
            # in front of an output stands the value that the node used to hand on under its name
            of, name, kind = (target, source, self.plan.element) if target in outputs else (source, target, element)
            if of in known:
                value = graph.value_info.add()
                value.CopyFrom(known[of])
                value.name, value.type.tensor_type.elem_type = name, kind


def _converted(tensor: onnx.TensorProto, element: int) -> onnx.TensorProto:
    """A weight in the low type, rounded to nearest.

    Raises:
        ExportError: it does not fit.
    """
    values = numpy_helper.to_array(tensor)
    if element == TensorProto.BFLOAT16:
        bits = np.ascontiguousarray(values).view(np.uint32)
        # to nearest, halves to even; the mantissa of a NaN does not matter, but must not carry into the sign
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
        stored = np.where(np.isnan(values), 0x7FC0, rounded).astype("<u2")
    else:
        with np.errstate(over="ignore"):
            stored = values.astype("<f2")
        if not np.array_equal(np.isfinite(stored), np.isfinite(values)):
            raise ExportError(
                f"The weight {escaped(tensor.name)} reaches {np.abs(values).max():.3g}, but float16 ends "
                f"at {FLOAT16_MAX:.0f}. "
                "Keep its module in float32."
            )
    return helper.make_tensor(tensor.name, element, tensor.dims, stored.tobytes(), raw=True)
