"""Structure of an ONNX file, parsed from its bytes without a library: nesting, loops, external data.

ONNX is a protocol buffer: fields of a number and a wire type, messages inside fields. Weights are skipped, so the time
is proportional to the number of nodes. Limits are enforced while reading, before any library reads the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Most fields, nested graphs, tensors, and axes of one tensor: several times those of our models.
MOST_FIELDS, DEEPEST, MOST_TENSORS, MOST_AXES = 1_000_000, 8, 200_000, 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: Field numbers by message, from the published schema onnx.proto.
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTION = 7, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN, _NODE_NAME = 4, 5, 7, 3
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 8, 13, 14
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN, _FUNCTION_ATTRIBUTE = 1, 7, 10, 11
_TRAINING_GRAPHS = (1, 2)
_EXTERNAL = 1


class WireError(ValueError):
    """Invalid ONNX file, or one beyond the limits."""


@dataclass
class Body:
    """Nodes of a graph or a function: their number, operators, and nested graphs."""

    nodes: int = 0
    #: (domain, operator) -> count.
    operators: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Operator that holds it, and the graph.
    inner: list[tuple[str, Body]] = field(default_factory=list)


@dataclass
class Structure:
    """Structure of a model.

    Attributes:
        graphs: the model's graph, and those of its training information.
        functions: (domain, name) -> body, of the defined functions.
        external: names of tensors with external data.
    """

    graphs: list[Body] = field(default_factory=list)
    functions: dict[tuple[str, str], list[Body]] = field(default_factory=dict)
    external: list[str] = field(default_factory=list)


def read_structure(content: memoryview) -> Structure:
    """Parse the structure of an ONNX file.

    Raises:
        WireError: no protocol buffer, cut short, without a graph, or beyond the limits of this module.
    """
    return _Reader(content).model()


class _Reader:
    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.fields = self.tensors = 0
        self.found = Structure()

    def model(self) -> Structure:
        for number, value in self._messages(0, len(self.content)):
            if number == _MODEL_GRAPH:
                self.found.graphs.append(self._graph(*value, DEEPEST))
            elif number == _MODEL_FUNCTION:
                self._function(*value)
            elif number == _MODEL_TRAINING:
                for inner, part in self._messages(*value):
                    if inner in _TRAINING_GRAPHS:
                        self.found.graphs.append(self._graph(*part, DEEPEST))
        if not self.found.graphs:
            raise WireError("it holds no graph")
        return self.found

    def _graph(self, start: int, end: int, depth: int) -> Body:
        if depth == 0:
            raise WireError(f"its graphs nest more than {DEEPEST} deep")
        body = Body()
        for number, value in self._messages(start, end):
            if number == _GRAPH_NODE:
                self._node(*value, body, depth)
            elif number == _GRAPH_INITIALIZER:
                self._tensor(*value)
            elif number == _GRAPH_SPARSE:
                self._sparse(*value)
        return body

    def _function(self, start: int, end: int) -> None:
        body, names = Body(), {_FUNCTION_NAME: "", _FUNCTION_DOMAIN: ""}
        for number, value in self._messages(start, end):
            if number in names:
                names[number] = self._text(*value)
            elif number == _FUNCTION_NODE:
                self._node(*value, body, DEEPEST)
            elif number == _FUNCTION_ATTRIBUTE:
                self._attribute(*value, "", body, DEEPEST)
        # overloads share a name: calls are taken to be of all of them
        self.found.functions.setdefault((names[_FUNCTION_DOMAIN], names[_FUNCTION_NAME]), []).append(body)

    def _node(self, start: int, end: int, body: Body, depth: int) -> None:
        operator = domain = ""
        attributes = []
        for number, value in self._messages(start, end):
            if number == _NODE_OP:
                operator = self._text(*value)
            elif number == _NODE_DOMAIN:
                domain = self._text(*value)
            elif number == _NODE_ATTRIBUTE:
                attributes.append(value)
        body.nodes += 1
        body.operators[domain, operator] = body.operators.get((domain, operator), 0) + 1
        for value in attributes:
            self._attribute(*value, operator, body, depth)

    def _attribute(self, start: int, end: int, operator: str, body: Body, depth: int) -> None:
        for number, value in self._messages(start, end):
            if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                body.inner.append((operator, self._graph(*value, depth - 1)))
            elif number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._tensor(*value)
            elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                self._sparse(*value)

    def _sparse(self, start: int, end: int) -> None:
        for number, value in self._messages(start, end):
            if number in (_SPARSE_VALUES, _SPARSE_INDICES):
                self._tensor(*value)

    def _tensor(self, start: int, end: int) -> None:
        self.tensors += 1
        name, outside, axes = "", False, 0
        for number, kind, value in self._fields(start, end):
            if number == _TENSOR_DIMS:
                # packed or not: no axis takes less than a byte
                axes += 1 if kind == _VARINT else value[1] - value[0]
            elif number == _TENSOR_NAME and kind == _BYTES:
                name = self._text(*value)
            elif number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value[0] == _EXTERNAL):
                outside = True
        if outside:
            self.found.external.append(name)
        if axes > MOST_AXES * 10:
            raise WireError(f"the tensor {name[:100]!r} has more than {MOST_AXES} axes")
        if self.tensors > MOST_TENSORS:
            raise WireError(f"it holds more than {MOST_TENSORS:,} tensors")

    def _text(self, start: int, end: int) -> str:
        return bytes(self.content[start : min(end, start + 1000)]).decode("utf-8", "replace")

    def _messages(self, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield number, begin and end of the fields that are bytes."""
        return ((number, value) for number, kind, value in self._fields(start, end) if kind == _BYTES)

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
        """Yield number, wire type, and begin and end of a field's bytes, or (value, 0) of an integer."""
        position = start
        while position < end:
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise WireError(f"it has more than {MOST_FIELDS:,} fields")
            key, position = self._varint(position, end)
            if key >= 2**32:
                # libraries differ here: some drop the upper bits and read another field
                raise WireError(f"a field at byte {position:,} has a number beyond 32 bits")
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, position = self._varint(position, end)
                yield number, kind, (value, 0)
                continue
            if kind == _BYTES:
                length, position = self._varint(position, end)
            elif kind in (_FIXED32, _FIXED64):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise WireError(f"a field of the unknown wire type {kind} at byte {position:,}")
            if number == 0 or length > end - position:
                raise WireError(f"a field at byte {position:,} goes beyond its message")
            yield number, kind, (position, position + length)
            position += length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < 70:
            byte = self.content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise WireError(f"a number at byte {position:,} does not end")
