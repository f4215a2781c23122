"""Layers of an artifact against the exported model's, through Polygraphy's runners of ONNX Runtime."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mambapro.cli.commands.compare_layers import compare_layers as command
from mambapro.errors import InputError, SetupError
from mambapro.export.artifacts.build_artifact import build_artifact
from mambapro.export.artifacts.build_options import BuildOptions
from mambapro.export.comparison.layers import compare_layers
from mambapro.export.pipeline import ExportReport


@pytest.fixture(scope="module")
def bundle(exports: dict[str, ExportReport], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 bundle with a float16 artifact."""
    folder = shutil.copytree(exports["fp32"].bundle, tmp_path_factory.mktemp("layers") / "tiny.mambapro")
    build_artifact(folder, BuildOptions("onnxruntime", "fp16"))
    return folder


def test_layers_in_the_order_of_the_graph(bundle: Path) -> None:
    """Every module of both graphs once, the outputs last; float16 differs a little, and somewhere."""
    found = compare_layers(bundle, "onnxruntime", "fp16", samples=1)

    names = [item.layer for item in found.layers]
    assert names[-1] == "embedding" and len(set(names)) == len(names) > 20
    assert names.index("backbone.embedding") < names.index("aggregation.reduction.rgb.linear")
    assert (found.artifact, found.reference, found.samples) == ("onnxruntime-fp16", "onnxruntime-fp32", 1)
    assert 0 < max(item.relative for item in found.layers) < 0.05
    assert all(item.mean <= item.largest for item in found.layers)


def test_the_command_prints_a_table_or_json(bundle: Path) -> None:
    """Standard output holds the report alone, whatever Polygraphy logs."""
    arguments = [str(bundle), "--target", "onnxruntime", "--precision", "fp16"]

    text = CliRunner().invoke(command, arguments, catch_exceptions=False).stdout
    content = json.loads(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).stdout)

    assert text.startswith("onnxruntime-fp16 against onnxruntime-fp32, 2 samples, Polygraphy\nlayer ")
    assert len(text.splitlines()) == 2 + len(content["layers"])


def test_the_exported_model_itself(bundle: Path) -> None:
    """InputError: there is nothing to compare it with."""
    with pytest.raises(InputError, match=r"runs model\.onnx itself"):
        compare_layers(bundle, "onnxruntime", "fp32")


def test_without_polygraphy(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SetupError says what to install."""
    monkeypatch.setitem(sys.modules, "polygraphy.comparator", None)

    with pytest.raises(SetupError, match=r'Polygraphy, which cannot be imported .*pip install "mambapro\[export\]"'):
        compare_layers(bundle, "onnxruntime", "fp16")
