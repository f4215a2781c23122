"""ONNX files and models in memory; without PyTorch, so that artifacts can be built where it is not installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import google.protobuf.message
import numpy as np
import onnx
import onnx_ir as ir

from .. import __version__
from ..common.foreign_text import shown_text
from ..errors import ArtifactError, ExportError
from ..runtime.bundle.graph_check import require_safe_graph
from ..runtime.bundle.metadata import BundleMetadata
from .value_types import SCOPES, as_ir

#: Protocol buffers end at 2 GiB.
_LARGEST_FILE = 2**31 - 1
#: Bytes from which on a weight counts as large.
_LARGE = 4096


def load_model(file: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ArtifactError: it cannot be read as one, or is not safe to run, see `require_safe_graph`.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{shown_text(file)} cannot be read: {shown_text(error)}. Export the bundle again."
        ) from error
    return parse_model(content, file)


def parse_model(content: bytes, file: Path) -> onnx.ModelProto:
    """Parse the content of an ONNX file, which `file` names in messages.

    Raises:
        ArtifactError: as `load_model`.
    """
    try:
        require_safe_graph(content, file)
        model = onnx.load_model_from_string(content)
        # passes over the graph rely on its order, its names and the attributes of its operators
        onnx.checker.check_model(model)
        return model
    except (google.protobuf.message.DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ArtifactError(
            f"{shown_text(file)} is no valid ONNX model: {shown_text(error)}. Export the bundle again."
        ) from error


def stamp(model: onnx.ModelProto, metadata: BundleMetadata) -> None:
    """Write the metadata into the ONNX file too, one property for each field, as JSON text."""
    values = metadata.to_json()
    # the list of files belongs to the bundle
    values.pop("artifacts")
    onnx.helper.set_model_props(model, {f"mambapro.{key}": json.dumps(value) for key, value in values.items()})
    model.producer_name, model.producer_version = "mambapro", __version__


def graph_sha256(file: Path) -> str:
    """Return the hex SHA-256 over nodes and the modules they name, functions, weights, inputs and outputs.

    Other properties and documentation do not count, so two exports of one checkpoint are equal, though each holds the
    time it was made.

    Raises:
        ArtifactError: the file is no ONNX file.
    """
    model = load_model(file)
    digest = hashlib.sha256()
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        del bare.metadata_props[:]
        # scales are found by the names of modules
        bare.metadata_props.extend(entry for entry in node.metadata_props if entry.key == SCOPES)
        bare.doc_string = ""
        digest.update(bare.SerializeToString(deterministic=True))
    for value in (*model.graph.input, *model.graph.output):
        digest.update(value.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(f"{tensor.name} {tensor.data_type} {list(tensor.dims)}".encode())
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as one file.

    Raises:
        ExportError: it is larger than the 2 GiB a single ONNX file can hold.
    """
    size = model.ByteSize()
    if size > _LARGEST_FILE:
        raise ExportError(f"The model takes {size / 2**30:.1f} GiB; one ONNX file holds 2. Export it with --fp16.")
    onnx.save_model(model, path)


def without_weights(model: onnx.ModelProto) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """Return a copy that only names its large weights, and the weights: a few MB to change and to hand on.

    The weights are views of the model's own memory where they can be. `OnnxRuntimeBackend` takes both.
    """
    light, weights = as_ir(model), {}
    for name, value in light.graph.initializers.items():
        tensor = value.const_value
        if tensor.nbytes >= _LARGE:
            weights[name] = tensor.numpy()
            value.const_value = ir.ExternalTensor(name, 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name)
    return light, weights
