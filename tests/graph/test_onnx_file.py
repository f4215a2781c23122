"""ONNX files: a hash of what they compute and of the modules that compute it; damaged graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.errors import ArtifactError
from mambapro.graph.cast import typed
from mambapro.graph.layers import points
from mambapro.graph.onnx_file import graph_sha256
from onnx import helper
from small_graphs import SCOPES, two_readers


def test_what_the_hash_sees(tmp_path: Path) -> None:
    """The name of a module and a weight count; the time of the export, other properties and remarks do not."""
    model = two_readers(np.random.default_rng(0))

    def found() -> str:
        onnx.save_model(model, tmp_path / "model.onnx")
        return graph_sha256(tmp_path / "model.onnx")

    first = found()
    model.producer_version, model.graph.node[0].doc_string = "later", "a remark"
    model.metadata_props.add(key="created", value="later")
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/some/where.py")
    assert found() == first
    (scopes,) = (entry for entry in model.graph.node[0].metadata_props if entry.key == SCOPES)
    scopes.value = scopes.value.replace("part.one", "part.three")
    renamed = found()
    assert renamed != first
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    assert found() not in (first, renamed)


def test_a_damaged_graph() -> None:
    """A graph that the checker passes, but whose types do not exist, is refused by every pass."""
    model = two_readers(np.random.default_rng(0))
    model.graph.value_info.append(helper.make_tensor_value_info("first", 999, ["batch", 5]))

    for read in (points, lambda m: typed(m, "fp16")):
        with pytest.raises(ArtifactError, match="The ONNX graph is damaged"):
            read(model)
