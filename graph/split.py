"""Segments of a model between its stages, so that what lies before a changed layer is computed once.

Every module of the trained model that ends a stage (`ModuleRoles.stages`) gave its name to a value of the graph; the
cuts are there. The values that cross a cut follow from the graph itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from ..errors import ArtifactError
from .module_roles import roles_of


@dataclass(frozen=True)
class Segment:
    """Nodes `start` to `stop` of the graph, and the values that go in and out."""

    start: int
    stop: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut(model: onnx.ModelProto) -> tuple[Segment, ...]:
    """Return the segments of a model, in order; one segment where the graph names no stage."""
    nodes = list(model.graph.node)
    stage = re.compile(rf"({'|'.join(map(re.escape, roles_of(model).stages)) or '(?!)'})(\.\w+)*")
    ends = [i + 1 for i, node in enumerate(nodes) if any(stage.fullmatch(name) for name in node.output)]
    ends = sorted({*ends, len(nodes)})
    weights = {tensor.name for tensor in model.graph.initializer}
    last_use = {name: i for i, node in enumerate(nodes) for name in _reads(node)}
    last_use.update({value.name: len(nodes) for value in model.graph.output})
    segments = []
    for start, stop in zip((0, *ends), ends, strict=False):
        made = {name for node in nodes[start:stop] for name in node.output}
        read = dict.fromkeys(name for node in nodes[start:stop] for name in _reads(node))
        inputs = tuple(name for name in read if name and name not in made and name not in weights)
        outputs = tuple(
            name for node in nodes[start:stop] for name in node.output if name and last_use.get(name, -1) >= stop
        )
        segments.append(Segment(start, stop, inputs, outputs))
    return tuple(segments)


def extract(model: onnx.ModelProto, segment: Segment, extra: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Return a segment as a model, with its weights and all functions; `extra` values become outputs too.

    Raises:
        ArtifactError: the graph has no type of a value that crosses a cut.
    """
    nodes = model.graph.node[segment.start : segment.stop]
    types = {value.name: value for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)}
    read = {name for node in nodes for name in _reads(node)}
    missing = [name for name in (*segment.inputs, *segment.outputs, *extra) if name not in types]
    if missing:
        raise ArtifactError(
            f"The model does not tell the type of {', '.join(missing[:5])}, so it cannot be taken apart. Export the "
            "checkpoint again with mambapro-export."
        )
    graph = onnx.GraphProto(name=model.graph.name)
    graph.node.extend(nodes)
    graph.input.extend(types[name] for name in segment.inputs)
    graph.output.extend(types[name] for name in dict.fromkeys((*segment.outputs, *extra)))
    inside = {name for node in nodes for name in node.output} - {value.name for value in graph.output}
    graph.value_info.extend(value for value in model.graph.value_info if value.name in inside)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    part = onnx.ModelProto(ir_version=model.ir_version, graph=graph)
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    part.metadata_props.extend(model.metadata_props)
    return part


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, those inside its subgraphs among them."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _reads(inner)
