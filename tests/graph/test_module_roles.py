"""Roles of modules in an ONNX file."""

from __future__ import annotations

import onnx
import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.graph.module_roles import PROPERTY, roles_of, set_roles
from mambapro.runtime.bundle.module_roles import MAMBAPRO, ModuleRoles

ROLES = ModuleRoles(
    stages=("stem",),
    float32=("head",),
    never_int8=("*.head.*", "*.mix."),
    parts={"trunk": ("stem", "body")},
    alike=("left",),
    computed_in={"mix": "step"},
)


def test_roles_and_back() -> None:
    """Roles that are written into a file are read from it."""
    model = onnx.ModelProto()

    set_roles(model, ROLES)

    assert roles_of(model) == ROLES


def test_files_before_roles() -> None:
    """A file without the property holds MambaPro, as all bundles of schema 1 do."""
    assert roles_of(onnx.ModelProto()) == MAMBAPRO


@pytest.mark.parametrize("text", ["{", "[]", '{"stages": 3}', '{"other": []}', '{"stages": [""]}'])
def test_damaged(text: str) -> None:
    """A property that holds no roles is refused."""
    model = onnx.ModelProto()
    model.metadata_props.add(key=PROPERTY, value=text)

    with pytest.raises(ArtifactError, match="xport the bundle again"):
        roles_of(model)


def test_layers_that_stay_float() -> None:
    """A pattern names a module anywhere in a layer's name, or with a dot alone after it at the end."""
    assert ROLES.stays_float("head")
    assert ROLES.stays_float("a.head.linear")
    assert ROLES.stays_float("a.mix")
    assert not ROLES.stays_float("a.mix.left.linear")
    assert not ROLES.stays_float("a.header")


def test_parts() -> None:
    """A module belongs to the part that names it or something above it."""
    assert ROLES.part_of("body.3.linear") == "trunk"
    assert ROLES.part_of("bodyguard") is None


def test_no_empty_names() -> None:
    """An empty name would stand for the whole model."""
    with pytest.raises(InputError, match="1 to 200 letters"):
        ModuleRoles(stages=("",))
