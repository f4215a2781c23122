"""The tiny model cut into segments, and a few drawn samples of known identities to measure it on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.calib.sensitivity.measurement import Material
from mambapro.calib.sensitivity.staged_model import Chain
from mambapro.graph.scales import ScaleTable


@pytest.fixture(scope="session")
def chain(graphs: dict[str, onnx.ModelProto], table: ScaleTable) -> Chain:
    """Every layer has a scale."""
    return Chain(graphs["fp32"], table, "openvino", threads=2)


@pytest.fixture(scope="session")
def material(inputs: dict[str, np.ndarray]) -> Material:
    """Six samples of three identities, each under two cameras."""
    return Material(inputs, (1, 1, 2, 2, 3, 3), (0, 1, 0, 1, 0, 1), "camera", "a hash")
