"""Roles of a model's modules in its ONNX file, as JSON among the file's properties."""

from __future__ import annotations

import json

import onnx
import onnx_ir as ir

from ..common.records import encode, record_of
from ..errors import ArtifactError
from ..runtime.bundle.module_roles import MAMBAPRO, ModuleRoles

#: Property of the file; the exporter writes every field of a bundle's metadata as such a property.
PROPERTY = "mambapro.modules"


def roles_of(model: onnx.ModelProto | ir.Model) -> ModuleRoles:
    """Return the roles of the modules of an exported model; of a file without them, MambaPro's.

    Raises:
        ArtifactError: the property is damaged.
    """
    if isinstance(model, onnx.ModelProto):
        text = next((entry.value for entry in model.metadata_props if entry.key == PROPERTY), None)
    else:
        text = model.metadata_props.get(PROPERTY)
    if text is None:
        return MAMBAPRO
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"The property {PROPERTY} of the ONNX file is no JSON. Export the bundle again.") from error
    return record_of(
        ModuleRoles, value, f"The property {PROPERTY} of the ONNX file is damaged. Export the bundle again:"
    )


def set_roles(model: onnx.ModelProto, roles: ModuleRoles) -> None:
    """Write the roles into an ONNX file that has none."""
    model.metadata_props.add(key=PROPERTY, value=json.dumps(encode(roles)))
