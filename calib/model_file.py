"""An ONNX file, and a hash of what it computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import google.protobuf.message
import onnx

from ..errors import ArtifactError


def load_model(file: Path) -> onnx.ModelProto:
    """An ONNX file.

    Raises:
        ArtifactError: it cannot be read as one.
    """
    try:
        return onnx.load(str(file))
    except (google.protobuf.message.DecodeError, OSError, ValueError) as error:
        raise ArtifactError(f"{file} is not an ONNX file: {error}. Export the bundle again.") from error


def graph_sha256(file: Path) -> str:
    """Hex SHA-256 over nodes, functions, weights, inputs and outputs; properties and documentation do not count.

    So two exports of one checkpoint are equal, though each holds the time it was made.

    Raises:
        ArtifactError: the file is no ONNX file.
    """
    model = load_model(file)
    digest = hashlib.sha256()
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        bare = onnx.NodeProto()
        bare.CopyFrom(node)
        del bare.metadata_props[:]
        bare.doc_string = ""
        digest.update(bare.SerializeToString(deterministic=True))
    for value in (*model.graph.input, *model.graph.output):
        digest.update(value.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(f"{tensor.name} {tensor.data_type} {list(tensor.dims)}".encode())
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()
