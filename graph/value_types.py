"""Element types of the values of an ONNX graph, and the modules that its nodes come from."""

from __future__ import annotations

import ast

import onnx
import onnx_ir as ir
from onnx.defs import OpSchema, SchemaError, get_schema
from onnx_ir.passes.common import ShapeInferencePass

from ..common.foreign_text import escaped, shown_text
from ..errors import ArtifactError, ExportError
from ..plugins.selective_scan.schema import DOMAIN

#: Property in which torch's exporter names the modules around a node, outermost first, the node itself last.
SCOPES = "pkg.torch.onnx.name_scopes"


def as_ir(model: onnx.ModelProto | ir.Model) -> ir.Model:
    """Return a model with links between nodes and values, a new one of a message; weights are shared.

    Raises:
        ArtifactError: the graph is not well formed.
    """
    if isinstance(model, ir.Model):
        return model
    try:
        return ir.from_proto(model)
    except ir.serde.SerdeError as error:
        raise ArtifactError(f"The ONNX graph is damaged: {shown_text(error)}. Export the bundle again.") from error


def module_of(node: ir.Node | onnx.NodeProto) -> str | None:
    """Return the name of the module that a node comes from, "" for the model itself; None if the file names none.

    Raises:
        ArtifactError: the property has another form than the exporter's.
    """
    if isinstance(node, onnx.NodeProto):
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    else:
        scopes = node.metadata_props.get(SCOPES)
    if scopes is None:
        return None
    try:
        names = ast.literal_eval(scopes)
        return str(names[-2]) if len(names) > 1 else ""
    except (ValueError, SyntaxError, LookupError, TypeError, MemoryError, RecursionError) as error:
        raise ArtifactError(
            f"The node {escaped(node.name)} names its modules in an unknown way ({SCOPES}). Export the bundle again."
        ) from error


def with_types(model: onnx.ModelProto) -> ir.Model:
    """Return a model in which every value of the main graph has its element type; weights are shared with `model`.

    Raises:
        ExportError: an operator that ONNX does not have, a node with a graph inside, or a type that is not known.
    """
    result = as_ir(model)
    for node in result.graph:
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            raise ExportError(f"{node.op_type} ({escaped(node.name)}) holds a graph of its own, which cannot be typed.")
        if node.domain != DOMAIN:
            schema_of(node)
    values = [value for node in result.graph for value in node.outputs]
    if any(value.dtype is None for value in values):
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(result)
    for value in values:
        if value.dtype is None and value.name:
            node = value.producer()
            raise ExportError(f"The type of what {node.op_type} ({escaped(node.name)}) returns is not known.")
    return result


def schema_of(node: ir.Node) -> OpSchema:
    """Return the standard's description of a node's operator.

    Raises:
        ExportError: the standard has no such operator.
    """
    imports = node.graph.opset_imports
    opset = imports.get("", imports.get("ai.onnx", 0))
    try:
        return get_schema(node.op_type, opset, "")
    except SchemaError as error:
        raise ExportError(
            f"{node.op_type} ({escaped(node.name)}) is not an operator of ONNX's opset {opset}."
        ) from error


def takes(schema: OpSchema, parameter: OpSchema.FormalParameter, dtype: ir.DataType) -> bool:
    """Return whether an input or output may have an element type."""
    name = f"tensor({dtype.name.lower()})"
    allowed = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == parameter.type_str), ())
    return name == parameter.type_str or name in allowed
