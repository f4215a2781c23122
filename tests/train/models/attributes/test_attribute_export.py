"""Export of attribute models: the deployed logits, one scan node for each layer, no text encoder and no teacher."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from attribute_reference import state_of, token_ids
from mambapro.export.pipeline import export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.registry import model_class


@pytest.mark.parametrize(
    ("name", "scans"),
    [("mini_par_vsf_vim_s", 8 + 2), ("mini_par_image_vmamba_b", 5), ("mini_hybrid7_kdtm", 8)],
)
def test_exported_logits(tmp_path: Path, name: str, scans: int) -> None:
    """The exported file passes parity with PyTorch and has one scan node for each layer that is deployed."""
    named = NAMED_MODELS[name]
    model = model_class(named.kind)(named.config)
    model.load_state_dict(state_of(model))
    if model.constants:
        model.set_constants(label_tokens=token_ids(10))
    save_checkpoint(model.eval(), tmp_path / "model.safetensors")

    report = export_bundle(ExportOptions(tmp_path / "model.safetensors"))

    graph = onnx.load(next(Path(report.bundle).rglob("*.onnx"))).graph
    assert report.parity.passed and report.parity.max_departure < 1e-4
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["logits", "probabilities"]
    assert sum(node.op_type == "SelectiveScan" for node in graph.node) == scans
    assert not [weight.name for weight in graph.initializer if weight.name.startswith(("mamba.", "vit.", "bn"))]
