"""ONNX as a file and in memory; without PyTorch, so that artifacts can be built where it is not installed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper

from ..errors import ExportError

#: Protocol buffers end at 2 GiB.
_LARGEST_FILE = 2**31 - 1
#: Bytes from which on a weight counts as large.
_LARGE = 4096


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as one file.

    Raises:
        ExportError: it is larger than the 2 GiB a single ONNX file can hold.
    """
    size = model.ByteSize()
    if size > _LARGEST_FILE:
        raise ExportError(f"The model takes {size / 2**30:.1f} GiB; one ONNX file holds 2. Export it with --fp16.")
    onnx.save_model(model, path)


def without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A copy that only names its large weights, and the weights: a few MB to change and to hand on.

    The weights are views of the model's own memory where they can be. `OnnxRuntimeBackend` takes both.
    """
    light, weights = onnx.ModelProto(), {}
    copy_fields(model, light, ("graph",))
    copy_fields(model.graph, light.graph, ("initializer",))
    for tensor in model.graph.initializer:
        new = light.graph.initializer.add()
        if len(tensor.raw_data) < _LARGE:
            new.CopyFrom(tensor)
            continue
        weights[tensor.name] = numpy_helper.to_array(tensor)
        new.name, new.data_type, new.data_location = tensor.name, tensor.data_type, TensorProto.EXTERNAL
        new.dims.extend(tensor.dims)
        for key, value in (("location", tensor.name), ("offset", "0"), ("length", str(len(tensor.raw_data)))):
            entry = new.external_data.add()
            entry.key, entry.value = key, value
    return light, weights


def copy_fields(source: Message, target: Message, without: Collection[str] = ()) -> None:
    """Copy a message but for some fields: `CopyFrom` would copy hundreds of MB of weights that are to be replaced."""
    for field, value in source.ListFields():
        if field.name in without:
            continue
        if hasattr(value, "CopyFrom"):
            getattr(target, field.name).CopyFrom(value)
        elif hasattr(value, "append"):
            getattr(target, field.name).extend(value)
        else:
            setattr(target, field.name, value)
