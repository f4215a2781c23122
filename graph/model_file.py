"""An ONNX file, and a hash of what it computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import google.protobuf.message
import onnx

from ..common.foreign_text import shown_text
from ..errors import ArtifactError
from ..runtime.bundle.graph_check import require_safe_graph
from .layers import SCOPES


def load_model(file: Path) -> onnx.ModelProto:
    """An ONNX file.

    Raises:
        ArtifactError: it cannot be read as one, or is not safe to run, see `require_safe_graph`.
    """
    try:
        content = file.read_bytes()
        require_safe_graph(content, file)
        model = onnx.load_model_from_string(content)
        # passes over the graph rely on its order, its names and the attributes of its operators
        onnx.checker.check_model(model)
        return model
    except (google.protobuf.message.DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise ArtifactError(
            f"{shown_text(file)} is not an ONNX file: {shown_text(error)}. Export the bundle again."
        ) from error


def graph_sha256(file: Path) -> str:
    """Hex SHA-256 over nodes and the modules they name, functions, weights, inputs and outputs.

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
