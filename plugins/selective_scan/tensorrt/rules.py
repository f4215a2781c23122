"""The contract for TensorRT's plugins: names, types, and partially known shapes.

The C++ library has the same rules in csrc/tensorrt_rules.h; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import InputError
from ..cuda.kernel_table import TYPES as KERNEL_TYPES
from ..schema import DOMAIN, INPUTS, OP_TYPE, OUTPUT, PARAMETERS, VERSION, ScanShape, check_shapes, check_types

#: Registered name of the plugin, as in NODE_ATTRIBUTES of an ONNX node.
NAME, NAMESPACE, PLUGIN_VERSION = OP_TYPE, DOMAIN, str(VERSION)
#: Names of tensorrt.DataType's members for the types the plugin takes.
TENSORRT_TYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
TENSORS = (*INPUTS, OUTPUT)
_AXES = {
    "u": ("batch", "length", "channels"),
    "delta": ("batch", "length", "channels"),
    "A": ("channels", "state"),
    "B": ("batch", "length", "groups", "state"),
    "C": ("batch", "length", "groups", "state"),
    "D": ("channels",),
    "delta_bias": ("channels",),
}


def type_name(kind: Any) -> str:
    """Return our name of a tensorrt.DataType; TensorRT's own for unsupported ones."""
    return TENSORRT_TYPES.get(kind.name, kind.name)


def check_tensorrt_types(kinds: Sequence[Any]) -> str:
    """Return the scan's type from the tensorrt.DataType of the seven inputs.

    Raises:
        InputError: unsupported types or combinations.
    """
    _check_number(len(kinds))
    names = {name: type_name(kind) for name, kind in zip(INPUTS, kinds, strict=True)}
    if names["u"] not in KERNEL_TYPES:
        raise InputError(f"selective scan: u is {names['u']}; TensorRT's plugin takes {', '.join(KERNEL_TYPES)}.")
    return check_types(names)


def type_allowed(position: int, kind: Any, scan: Any) -> bool:
    """Return True if input or output `position` may have a tensorrt.DataType together with a u of type `scan`."""
    if TENSORS[position] in PARAMETERS:
        return type_name(kind) == "float32"
    return type_name(kind) in KERNEL_TYPES and kind == scan


def check_known_shapes(shapes: Sequence[Sequence[int | None]]) -> ScanShape:
    """Return the sizes of a scan from the shapes of its seven inputs, where None is unknown.

    Sizes that no shape determines are returned with fitting values.

    Raises:
        InputError: shapes that are invalid for all values of the unknown sizes.
    """
    _check_number(len(shapes))
    shapes_by_name = dict(zip(INPUTS, shapes, strict=True))
    sizes: dict[str, int] = {}
    for name, shape in shapes_by_name.items():
        for axis, size in zip(_AXES[name], shape, strict=False):
            if size is not None:
                sizes.setdefault(axis, size)
    for axis in ("batch", "length", "groups", "state"):
        sizes.setdefault(axis, 1)
    sizes.setdefault("channels", sizes["groups"])
    filled = {name: _filled(shape, _AXES[name], sizes) for name, shape in shapes_by_name.items()}
    try:
        return check_shapes(filled)
    except InputError as error:
        if not any(None in shape for shape in shapes):
            raise
        raise InputError(f"{error} (A size that is not known yet is shown as one that fits.)") from None


def _filled(shape: Sequence[int | None], axes: Sequence[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    if len(shape) != len(axes):
        return tuple(1 if size is None else size for size in shape)
    return tuple(sizes[axis] if size is None else size for size, axis in zip(shape, axes, strict=True))


def _check_number(inputs: int) -> None:
    if inputs != len(INPUTS):
        raise InputError(f"selective scan: it has {len(INPUTS)} inputs ({', '.join(INPUTS)}), got {inputs}.")
