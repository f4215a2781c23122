"""A model without a camera input, as one that was trained without the camera embedding."""

from __future__ import annotations

import torch
from mambapro.calib.statistics import tensors_of
from mambapro.export.pytorch.onnx_graph import onnx_from_model
from mambapro.graph.layers import points
from mambapro.graph.smooth import foldable_norms
from mambapro.train.models.mambapro.sizes import build_model


def test_sensors_are_told_apart() -> None:
    """The batch is called `batch` on every value, so that the three sensors' thirds are found in the backbone."""
    torch.manual_seed(3)
    model = onnx_from_model(build_model("tiny", image_size=(64, 32), identities=5, sie_camera=False).eval())
    found = points(model)

    tensors = tensors_of(model, found, foldable_norms(model, found), None)

    inner = [tensor for tensor in tensors if any(name.startswith("backbone.layers.") for name in tensor.modules)]
    assert inner and all(tensor.stacked for tensor in inner)
    assert all(tensor.values % 3 == 0 for tensor in inner)
    dims = {dim.dim_param for value in model.graph.value_info for dim in value.type.tensor_type.shape.dim}
    assert {"batch", "3*batch"} <= dims and all("batch" in name for name in dims if name)
