"""Exports that several tests look at."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from mambapro.export import pipeline
from mambapro.export.pipeline import ExportReport, export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.train.models.checkpoints.weights import load_checkpoint


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path):
    """The tiny checkpoint's model."""
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="session")
def exports(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportReport]:
    """The tiny model as a bundle of each precision."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        precision: export_bundle(
            ExportOptions(
                tiny_checkpoint, precision, output=folder / f"{precision}.mambapro", trace=precision == "fp32"
            )
        )
        for precision in ("fp32", "fp16")
    }


@pytest.fixture
def exported_before(graphs: dict[str, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of what comes after torch.onnx.export need not wait for it: the tiny model's graph is there already."""

    def copy(model: object) -> onnx.ModelProto:
        graph = onnx.ModelProto()
        graph.CopyFrom(graphs["fp32"])
        return graph

    monkeypatch.setattr(pipeline, "onnx_from_model", copy)


@pytest.fixture(scope="session")
def graphs(exports: dict[str, ExportReport]) -> dict[str, onnx.ModelProto]:
    """The ONNX files of the bundles."""
    return {precision: onnx.load(report.bundle / "model.onnx") for precision, report in exports.items()}
