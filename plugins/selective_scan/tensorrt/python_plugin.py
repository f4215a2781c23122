"""The selective scan as a TensorRT plugin in Python, for TensorRT 10 and 11 and TensorRT-RTX.

It needs neither compiler nor headers: enqueue launches the package's PTX through the CUDA driver. An engine built with
it runs only in a process that registers it, in Python. `register(trt)` takes the module, tensorrt or tensorrt_rtx.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ....errors import InputError
from ..cuda import launch
from ..cuda.kernel_table import LANES, lanes_for
from ..schema import MAX_STATE
from . import registration
from .rules import (
    NAME,
    NAMESPACE,
    PLUGIN_VERSION,
    check_known_shapes,
    check_tensorrt_types,
    type_allowed,
    type_name,
)

FRONT = "python"
_FIELD = "lanes"


def available(trt: Any) -> str | None:
    """Return the reason why this variant cannot be used with the module `trt`, or None."""
    missing = [name for name in ("IPluginV3OneBuild", "IPluginCreatorV3One") if not hasattr(trt, name)]
    return (
        f"{trt.__name__} {trt.__version__} lacks {', '.join(missing)}; 10.0 is the first with it." if missing else None
    )


def register(trt: Any) -> None:
    """Register the plugin with `trt`'s builders and runtimes of this process; may be repeated.

    Raises:
        SetupError: another variant is registered already.
    """
    if not registration.is_registered(trt, FRONT):
        creator = _classes(trt)[1]()
        trt.get_plugin_registry().register_creator(creator, NAMESPACE)
        registration.remember(trt, FRONT, creator)


class _Plugin:
    """Implementation of the plugin; `_classes` joins it with the interfaces of a TensorRT module.

    `lanes` is the number of threads that share a channel's states, 0 to choose at run time.
    """

    trt: Any
    interfaces: tuple[type, ...]

    def __init__(self, lanes: int) -> None:
        for interface in self.interfaces:
            interface.__init__(self)  # type: ignore[misc]
        self.plugin_name, self.plugin_namespace, self.plugin_version = NAME, NAMESPACE, PLUGIN_VERSION
        self.num_outputs = 1
        self.timing_cache_id = f"{NAMESPACE}.{NAME}.{PLUGIN_VERSION}"
        self.lanes = lanes
        self.state = MAX_STATE
        # TensorRT reads the field by the array's address, after get_fields_to_serialize has returned
        self.serialized = np.zeros(1, np.int32)

    def get_capability_interface(self, kind: Any) -> _Plugin:
        return self

    def clone(self) -> _Plugin:
        copy = type(self)(self.lanes)
        copy.state = self.state
        return copy

    def attach_to_context(self, context: Any) -> _Plugin:
        return self.clone()

    def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
        check_tensorrt_types(input_types)
        return [input_types[0]]

    def get_output_shapes(self, inputs: Sequence[Any], shape_inputs: Sequence[Any], builder: Any) -> list[Any]:
        check_known_shapes([[x.get_constant_value() if x.is_constant() else None for x in dims] for dims in inputs])
        return [self.trt.DimsExprs(inputs[0])]

    def supports_format_combination(self, position: int, tensors: Sequence[Any], num_inputs: int) -> bool:
        asked = tensors[position].desc
        return asked.format == self.trt.TensorFormat.LINEAR and type_allowed(position, asked.type, tensors[0].desc.type)

    def configure_plugin(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        check_tensorrt_types([x.desc.type for x in inputs])
        for sizes in ([x.min for x in inputs], [x.opt for x in inputs], [x.max for x in inputs]):
            self.state = check_known_shapes([_known(dims) for dims in sizes]).state

    def get_workspace_size(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        return 0

    def get_valid_tactics(self) -> list[int]:
        return list(lanes_for(self.state))

    def set_tactic(self, tactic: int) -> None:
        self.lanes = _checked_lanes(tactic)

    def get_fields_to_serialize(self) -> Any:
        self.serialized[0] = self.lanes
        field = self.trt.PluginField(_FIELD, self.serialized, self.trt.PluginFieldType.INT32)
        return self.trt.PluginFieldCollection([field])

    def on_shape_change(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        shape = check_known_shapes([_known(x.dims) for x in inputs])
        # not in enqueue, which may be recorded into a graph
        launch.prepare(shape, type_name(inputs[0].type), self.lanes)

    def enqueue(
        self,
        input_descs: Sequence[Any],
        output_descs: Sequence[Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        workspace: int,
        stream: int,
    ) -> None:
        shape = check_known_shapes([_known(x.dims) for x in input_descs])
        launch.forward(shape, type_name(input_descs[0].type), inputs, outputs[0], self.lanes, stream)


class _Creator:
    """Factory of the plugin from an ONNX node or an engine; fields other than lanes are ignored."""

    trt: Any
    plugin: type

    def __init__(self) -> None:
        self.trt.IPluginCreatorV3One.__init__(self)
        self.name, self.plugin_namespace, self.plugin_version = NAME, NAMESPACE, PLUGIN_VERSION
        # a parser warns about every declared field that an ONNX node lacks
        self.field_names = self.trt.PluginFieldCollection([])

    def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
        lanes = [int(field.data[0]) for field in fields if field.name == _FIELD]
        return self.plugin(_checked_lanes(*lanes) if lanes else 0)


@cache
def _classes(trt: Any) -> tuple[type, type]:
    """Return plugin and creator for a TensorRT module, derived from its own classes."""
    interfaces = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)
    plugin = type("SelectiveScanPlugin", (_Plugin, *interfaces), {"trt": trt, "interfaces": interfaces})
    creator = type("SelectiveScanCreator", (_Creator, trt.IPluginCreatorV3One), {"trt": trt, "plugin": plugin})
    return plugin, creator


def _known(dims: Any) -> list[int | None]:
    """Return the sizes of a tensorrt.Dims, None for unknown ones (-1)."""
    return [None if size < 0 else int(size) for size in dims]


def _checked_lanes(lanes: int) -> int:
    if lanes not in (0, *LANES):
        raise InputError(f"selective scan: lanes must be one of {LANES}, or 0 for any of them, got {lanes}.")
    return lanes
