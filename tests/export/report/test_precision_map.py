"""The precision map says what an ONNX file holds, part by part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from mambapro.errors import ArtifactError
from mambapro.export.pipeline import ExportReport
from mambapro.export.report.precision_map import PrecisionMap, precision_map

MLP = {f"backbone.layers.{layer}.mlp.inner" for layer in range(4)}


@pytest.fixture(scope="module")
def maps(exports: dict[str, ExportReport]) -> dict[str, PrecisionMap]:
    """The maps of the two exports."""
    return {name: precision_map(report.bundle / "model.onnx") for name, report in exports.items()}


def types(found: PrecisionMap) -> dict[str, tuple[str, ...]]:
    """The types of each part by its full name."""
    return {f"{cell.block}.{cell.part}".removeprefix("."): cell.types for cell in found.cells}


def test_float32_is_float32_everywhere(maps: dict[str, PrecisionMap]) -> None:
    """Every block and part of the model is there, each in fp32."""
    found = types(maps["fp32"])

    assert set(found.values()) == {("fp32",)}
    assert maps["fp32"].shares() == {"fp32": 1.0}
    assert set(found) >= MLP | {
        "backbone.embedding.patches", "backbone.projection", "backbone.ln_post", "aggregation.reduction.linear",
        "backbone.layers.0.attention.in_proj", "backbone.layers.0.attention products", "backbone.layers.0.residual sum",
        "backbone.layers.0.attention softmax", "backbone.layers.1.prompt.residual.inner", "backbone.layers.3.ln_2",
        "aggregation.blocks.0.intra.in_proj", "aggregation.blocks.1.inter.scan",
        "aggregation.blocks.0.inter.scans.dt_proj", "aggregation.blocks.1.intra.scans.ahead.x_proj",
    }  # fmt: skip


def test_the_sensors_are_one_part(maps: dict[str, PrecisionMap], graphs: dict[str, onnx.ModelProto]) -> None:
    """The three sensors' projections are one cell, and all weights of matrix products are counted once."""
    cells = {(cell.block, cell.part): cell for cell in maps["fp32"].cells}
    weights = {tensor.name: tensor for tensor in graphs["fp32"].graph.initializer}
    multiplied = [n.input[1] for n in graphs["fp32"].graph.node if n.op_type in ("MatMul", "Gemm", "Conv")]

    assert cells["aggregation.blocks.0.intra", "in_proj"].modules == 3
    assert cells["aggregation.blocks.0.intra", "out_proj"].modules == 1
    assert sum(cell.weights for cell in maps["fp32"].cells) == sum(
        int(onnx.numpy_helper.to_array(weights[name]).size) for name in multiplied if name in weights
    )


def test_float16_shows_its_islands(maps: dict[str, PrecisionMap]) -> None:
    """Matrix products are fp16; LayerNorm, softmax and the last layer stay fp32."""
    by_kind: dict[str, set[str]] = {}
    for cell in maps["fp16"].cells:
        by_kind.setdefault(cell.kind, set()).update(cell.types)

    assert by_kind["norm"] == by_kind["softmax"] == {"fp32"}
    assert by_kind["product"] == by_kind["scan"] == {"fp16"}
    assert types(maps["fp16"])["aggregation.reduction.linear"] == ("fp32",)
    assert list(maps["fp16"].shares()) == ["fp16", "fp32"]


@pytest.mark.parametrize("stated", (True, False), ids=("types stated", "types inferred"))
def test_int8_is_what_has_both_sides_quantised(
    graphs: dict[str, onnx.ModelProto],
    quantize: Callable[[onnx.ModelProto, str], onnx.ModelProto],
    stated: bool,
    tmp_path: Path,
) -> None:
    """Only modules with Q/DQ on value and weight are int8, with or without types in the file."""
    made = quantize(graphs["fp32"], "mlp.inner")
    if not stated:
        del made.graph.value_info[:]
    onnx.save(made, tmp_path / "int8.onnx")

    found = precision_map(tmp_path / "int8.onnx")

    assert {name for name, value in types(found).items() if value == ("int8",)} == MLP
    assert {value for name, value in types(found).items() if name not in MLP} == {("fp32",)}
    before = sum(cell.weights for cell in found.cells if f"{cell.block}.{cell.part}" in MLP)
    assert found.shares()["int8"] == pytest.approx(before / sum(cell.weights for cell in found.cells))


def test_sensors_that_differ_are_told(
    graphs: dict[str, onnx.ModelProto],
    quantize: Callable[[onnx.ModelProto, str], onnx.ModelProto],
    tmp_path: Path,
) -> None:
    """A part that is int8 for one sensor only has both types."""
    onnx.save(quantize(graphs["fp32"], "intra.in_proj.nir"), tmp_path / "mixed.onnx")

    found = types(precision_map(tmp_path / "mixed.onnx"))

    assert found["aggregation.blocks.0.intra.in_proj"] == ("fp32", "int8")
    assert found["aggregation.blocks.0.inter.in_proj"] == ("fp32",)


def test_a_quantised_parameter_keeps_its_name(graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    """What is multiplied outside any module goes by its parameter's name, without what quantising adds."""
    made = onnx.ModelProto()
    made.CopyFrom(graphs["fp32"])
    for tensor in made.graph.initializer:
        tensor.name = "backbone.projection/int8" if tensor.name == "backbone.projection" else tensor.name
    for node in made.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "backbone.projection/int8" if name == "backbone.projection" else name
    onnx.save(made, tmp_path / "renamed.onnx")

    assert "backbone.projection" in types(precision_map(tmp_path / "renamed.onnx"))


def test_a_hint_is_shown_where_it_counts(exports: dict[str, ExportReport]) -> None:
    """With a hint the matrix products and convolutions are in the hinted type, the rest as the file says."""
    found = precision_map(exports["fp32"].bundle / "model.onnx", "bf16")

    kinds = {cell.kind: cell.types for cell in found.cells}
    assert kinds["linear"] == kinds["product"] == ("bf16",)
    assert kinds["norm"] == kinds["scan"] == kinds["sum"] == ("fp32",)
    assert found.to_json()["hint"] == "bf16"


def test_what_is_no_model_is_refused(graphs: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    """Bytes that are no ONNX, and a file whose nodes do not name their modules, are errors that say so."""
    bad, nameless = tmp_path / "bad.onnx", tmp_path / "nameless.onnx"
    bad.write_bytes(b"\xff\xff no protobuf")
    stripped = onnx.ModelProto()
    stripped.CopyFrom(graphs["fp32"])
    for node in stripped.graph.node:
        del node.metadata_props[:]
    onnx.save(stripped, nameless)

    with pytest.raises(ArtifactError, match="cannot be read as ONNX"):
        precision_map(bad)
    with pytest.raises(ArtifactError, match="does not say to which module"):
        precision_map(nameless)
