"""Linears of the attributes: the same values in PyTorch and in OpenVINO, in batches too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.train.models.parts.attribute_heads import AttributeLinears


def test_linears_by_hand() -> None:
    """Each attribute's Linear sees its own token alone."""
    linears = AttributeLinears(2, 3)
    for layer, weight, bias in zip(linears, ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), (10.0, 20.0), strict=True):
        layer.weight.data, layer.bias.data = torch.tensor([weight]), torch.tensor([bias])
    tokens = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 2.0], [1.0, 1.0, 1.0]]])

    values = linears(tokens)

    torch.testing.assert_close(values, torch.tensor([[14.0, 25.0], [16.0, 35.0]]))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_linears_in_openvino(tmp_path: Path, batch: int) -> None:
    """OpenVINO computes the exported Linears right in batches, where it once added the biases of others."""
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(0)
    linears, tokens = AttributeLinears(26, 64).eval(), torch.randn(batch, 26, 64)
    dynamic = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(linears, (torch.randn(2, 26, 64),), tmp_path / "h.onnx", dynamic_shapes=dynamic, dynamo=True)
    compiled = openvino.Core().compile_model(tmp_path / "h.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    (values,) = compiled([tokens.numpy()]).values()

    np.testing.assert_allclose(values, linears(tokens).detach().numpy(), atol=1e-5)
