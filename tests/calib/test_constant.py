"""Layers whose input never changes on the calibration images: they have no scale and stay in float."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib.calibrate import calibrate
from mambapro.calib.images import CalibrationImages
from mambapro.calib.statistics import TensorStatistics, tensors_of
from mambapro.errors import ArtifactError
from mambapro.graph.layers import points
from mambapro.graph.quantize import quantized
from mambapro.graph.scales import ScaleTable
from mambapro.runtime.bundle.metadata import BundleMetadata
from onnx import numpy_helper


class TestConstant:
    def test_left_out_with_a_warning(
        self,
        graphs: dict[str, onnx.ModelProto],
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A layer behind a LayerNorm that gives zeros has no scale, the others have; int8 leaves it in float."""
        dead = onnx.ModelProto()
        dead.CopyFrom(graphs["fp32"])
        module_name = "backbone.layers.1.mlp.inner"
        for tensor in dead.graph.initializer:
            if tensor.name in ("backbone.layers.1.ln_2.weight", "backbone.layers.1.ln_2.bias"):
                tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
        onnx.save_model(dead, tmp_path / "dead.onnx")

        with caplog.at_level(logging.WARNING, "mambapro"):
            found = calibrate(tmp_path / "dead.onnx", tiny_metadata, few_images, cache=tmp_path).table

        assert module_name in found.constant and module_name not in found.modules
        assert len(found.modules) + len(found.constant) == len(points(dead))
        assert f"{module_name} is 0 throughout" in caplog.text
        assert ScaleTable.from_json(found.to_json()) == found
        again = calibrate(tmp_path / "dead.onnx", tiny_metadata, few_images, cache=tmp_path)
        assert again.cached and again.table == found
        caplog.clear()
        made = quantized(dead, found, "openvino")
        assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == len(found.activations)
        assert module_name in caplog.text
        with pytest.raises(ArtifactError, match=f"{module_name} cannot .* constant in calibration; leave it in float"):
            quantized(dead, found, "openvino", [module_name])

    def test_one_value(self, graphs: dict[str, onnx.ModelProto]) -> None:
        """One value other than zero is constant too, two are not; and a constant of NaN is an error."""
        model = graphs["fp32"]
        statistics = TensorStatistics(tensors_of(model, points(model), (), None)[3])
        statistics.update(np.full((6, 4, 8), 0.25, np.float32))
        assert statistics.constant
        statistics.update(np.full((6, 4, 8), 0.5, np.float32))
        assert not statistics.constant
        with pytest.raises(ArtifactError, match="NaN"):
            statistics.update(np.full((6, 4, 8), np.nan, np.float32))
