"""What an ONNX graph says about its values without being run: element types, and the modules its nodes come from."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import onnx
from onnx import TensorProto
from onnx.defs import OpSchema, SchemaError, get_schema

from ..common.foreign_text import escaped
from ..errors import ArtifactError, ExportError
from ..plugins.selective_scan.schema import DOMAIN

#: Where torch's exporter writes the modules around a node, outermost first, the node itself last.
SCOPES = "pkg.torch.onnx.name_scopes"
_TYPE_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "float",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
}


def module_of(node: onnx.NodeProto) -> str | None:
    """Name of the module that a node comes from, "" for the model itself; None where the file does not tell.

    Raises:
        ArtifactError: it tells in a way that is not the exporter's.
    """
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    if scopes is None:
        return None
    try:
        names = ast.literal_eval(scopes)
        return str(names[-2]) if len(names) > 1 else ""
    except (ValueError, SyntaxError, LookupError, TypeError, MemoryError, RecursionError) as error:
        raise ArtifactError(
            f"The node {escaped(node.name)} names its modules in an unknown way ({SCOPES}). Export the bundle again."
        ) from error


def standard_opset(model: onnx.ModelProto) -> int:
    """Version of the standard operators."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def schema_of(node: onnx.NodeProto, opset: int) -> OpSchema:
    """The standard's description of a node's operator.

    Raises:
        ExportError: it is none of the standard's.
    """
    try:
        return get_schema(node.op_type, opset, "")
    except SchemaError as error:
        raise ExportError(
            f"{node.op_type} ({escaped(node.name)}) is not an operator of ONNX's opset {opset}."
        ) from error


def formals(node: onnx.NodeProto, schema: OpSchema) -> Iterator[tuple[str, OpSchema.FormalParameter]]:
    """Each input of a node with its description; the last one of a variadic operator goes on and on."""
    for i, name in enumerate(node.input):
        if name:
            yield name, schema.inputs[min(i, len(schema.inputs) - 1)]


def takes(schema: OpSchema, parameter: OpSchema.FormalParameter, element: int) -> bool:
    """Whether an input or output may be of an element type (TensorProto.FLOAT16, ...)."""
    name = f"tensor({_TYPE_NAMES[element]})"
    allowed = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == parameter.type_str), ())
    return name == parameter.type_str or name in allowed


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value of the main graph: inputs, initializers and what nodes return.

    Raises:
        ExportError: an operator that this does not know, or a node with a graph inside.
    """
    graph, opset = model.graph, standard_opset(model)
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if any(attribute.type in (attribute.GRAPH, attribute.GRAPHS) for attribute in node.attribute):
            raise ExportError(f"{node.op_type} ({escaped(node.name)}) holds a graph of its own, which cannot be typed.")
        if node.domain == DOMAIN:
            types |= dict.fromkeys(node.output, types[node.input[0]])
            continue
        for name, element in zip(node.output, _outputs(node, schema_of(node, opset), types), strict=False):
            if name:
                types[name] = element
    return types


def _outputs(node: onnx.NodeProto, schema: OpSchema, types: dict[str, int]) -> Iterator[int]:
    known = {formal.type_str: types[name] for name, formal in formals(node, schema)}
    given = {attribute.name: attribute for attribute in node.attribute}
    for i in range(len(node.output)):
        kind = schema.outputs[min(i, len(schema.outputs) - 1)].type_str
        if node.op_type == "Cast":
            yield given["to"].i
        elif node.op_type in ("Constant", "ConstantOfShape"):
            yield _constant(given)
        elif kind in known:
            yield known[kind]
        else:
            yield _only(schema, kind, node)


def _constant(given: dict[str, onnx.AttributeProto]) -> int:
    if "value" in given:
        return given["value"].t.data_type
    # ConstantOfShape without a value is float; a Constant says its type in the attribute's name
    return TensorProto.INT64 if {"value_int", "value_ints"} & set(given) else TensorProto.FLOAT


def _only(schema: OpSchema, kind: str, node: onnx.NodeProto) -> int:
    """The one element type that an output can have whatever the inputs are, such as Shape's int64."""
    allowed = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == kind), [kind])
    if len(allowed) != 1:
        raise ExportError(f"The type of what {node.op_type} ({escaped(node.name)}) returns is not known.")
    name = next(iter(allowed)).removeprefix("tensor(").removesuffix(")")
    return int(TensorProto.DataType.Value(name.upper()))
