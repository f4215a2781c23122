"""Which modules stay float32 because their values come near the end of float16."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib.float16_range import range_check
from mambapro.errors import ExportError, InputError
from mambapro.graph.cast import typed
from mambapro.graph.value_types import module_of
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from onnx import numpy_helper

ATTENTION = "backbone.layers.1.attention"


def feeds(samples: int = 2) -> dict[str, np.ndarray]:
    """Random inputs of the tiny model."""
    rng = np.random.default_rng(5)
    images = {name: rng.integers(0, 256, (samples, 64, 32, 3), dtype=np.uint8) for name in ("rgb", "nir", "tir")}
    return {**images, "camera": np.arange(samples), "modality_mask": np.ones((samples, 3), np.float32)}


def departure(model: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """Largest 1 - cosine between the embeddings of two models; infinite if one has NaN."""
    found = []
    for graph in (model, other):
        backend = OnnxRuntimeBackend(graph.SerializeToString(), device="cpu", threads=1)
        found.append(backend.run(feeds())["embedding"].astype(np.float64))
        backend.close()
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in found)
    worst = float((1 - (a * b).sum(1)).max())
    return worst if np.isfinite(worst) else float("inf")


def weight_of(model: onnx.ModelProto, module: str) -> onnx.TensorProto:
    """The initializer that a module's product reads."""
    names = {x.name: x for x in model.graph.initializer}
    return next(names[n.input[1]] for n in model.graph.node if n.op_type == "MatMul" and module_of(n) == module)


def scaled(model: onnx.ModelProto, tensor: str, factor: float, columns: slice = slice(None)) -> None:
    """Multiply some columns of an initializer, in place."""
    found = next(x for x in model.graph.initializer if x.name == tensor)
    values = numpy_helper.to_array(found).copy()
    values[..., columns] *= np.float32(factor)
    found.CopyFrom(numpy_helper.from_array(values, tensor))


@pytest.fixture(scope="module")
def wide(graphs: dict[str, onnx.ModelProto]) -> onnx.ModelProto:
    """The tiny model with one attention whose values are 2^15 times as large, and whose next product undoes that."""
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp32"])
    inner = weight_of(model, f"{ATTENTION}.in_proj")
    values = slice(2 * inner.dims[1] // 3, None)
    scaled(model, inner.name, 2.0**15, values)
    scaled(model, f"{ATTENTION}.in_proj.bias", 2.0**15, values)
    scaled(model, weight_of(model, f"{ATTENTION}.out_proj").name, 2.0**-15)
    return model


def test_a_layer_that_overflows_is_widened(graphs: dict, wide: onnx.ModelProto) -> None:
    """Equal in float32, broken in float16, and right again with what the range check keeps in float32."""
    seen: list[object] = []

    def track(items: Iterator[object], description: str, total: int | None = None) -> Iterator[object]:
        for item in items:
            seen.append((description, total))
            yield item

    report = range_check(wide, [feeds(1), feeds(2)], threads=1, track=track)

    assert report.keep == (ATTENTION,)
    assert report.samples == 3
    assert seen == [("Checking the float16 range: batches", 2)] * 2
    assert departure(graphs["fp32"], wide) < 1e-9
    assert departure(wide, typed(wide, "fp16")) > 1e-2
    assert departure(wide, typed(wide, "fp16", report.keep)) < 1e-5
    assert {value.module for value in report.wide} <= {ATTENTION, f"{ATTENTION}.in_proj"}
    assert f"kept in float32: {ATTENTION}" in str(report)
    assert report.to_json()["keep"] == [ATTENTION]
    assert report.largest == max(value.largest for value in report.wide) > 65504


def test_nothing_to_widen(graphs: dict) -> None:
    """An ordinary model keeps nothing, and the largest value is told."""
    report = range_check(graphs["fp32"], [feeds()], threads=1)

    assert report.keep == ()
    assert 1 < report.largest < 1000
    assert report.checked > 200
    assert "nothing comes near the end of float16" in str(report)


def test_the_share_decides(graphs: dict) -> None:
    """With a smaller share more is kept; what stays float32 anyway is never named."""
    report = range_check(graphs["fp32"], [feeds()], share=1e-4, threads=1)

    assert len(report.keep) > 3
    assert not any(name.startswith("aggregation.reduction") for name in report.keep)
    assert typed(graphs["fp32"], "fp16", report.keep)


def test_a_weight_beyond_float16(graphs: dict) -> None:
    """Weights count too: `typed` refuses one that does not fit, the check names its module."""
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp32"])
    inner, outer = (weight_of(model, f"backbone.layers.0.mlp.{name}").name for name in ("inner", "outer"))
    scaled(model, outer, 1e7, slice(0, 1))

    with pytest.raises(ExportError, match=f"The weight {outer} reaches .* float16 ends at 65504"):
        typed(model, "fp16")
    keep = range_check(model, [feeds()], threads=1).keep
    assert "backbone.layers.0.mlp.outer" in keep or "backbone.layers.0" in keep
    kinds = {x.name: x.data_type for x in typed(model, "fp16", keep).graph.initializer}
    assert kinds[outer] == onnx.TensorProto.FLOAT
    assert inner in kinds


def test_not_finite_in_float32(graphs: dict) -> None:
    """NaN in float32 is nothing that wider types repair: an error with value and module."""
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp32"])
    scaled(model, "backbone.layers.1.mlp.inner.bias", float("nan"), slice(3, 4))

    with pytest.raises(ExportError, match=r"in backbone\.layers\.1\.mlp\.inner is NaN in float32 already"):
        range_check(model, [feeds()], threads=1)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_shares_that_are_none(graphs: dict, share: float) -> None:
    """A share lies above 0 and is at most 1."""
    with pytest.raises(InputError, match="above 0 and at most 1"):
        range_check(graphs["fp32"], [feeds()], share=share)


def test_no_images(graphs: dict) -> None:
    """Without images there is nothing to say."""
    with pytest.raises(InputError, match="at least one image"):
        range_check(graphs["fp32"], [])


def test_a_file_that_is_typed(graphs: dict, tmp_path: Path) -> None:
    """The check is for the float32 model."""
    with pytest.raises(InputError, match="typed already"):
        range_check(typed(graphs["fp32"], "fp16"), [feeds()])
