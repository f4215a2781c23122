"""A model in segments computes what it computes as a whole, in float and with some layers in int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from mambapro.calib.sensitivity.measurement import Material
from mambapro.calib.sensitivity.staged_model import Chain
from mambapro.errors import ArtifactError
from mambapro.graph.layers import points
from mambapro.graph.quantize import quantized
from mambapro.graph.scales import ScaleTable
from mambapro.graph.split import cut, extract
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.evaluation.gates.agreement import cosine_departures

LAYERS = ("backbone.layers.2.mlp.inner", "aggregation.blocks.1.intra.out_proj")


def whole(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return OnnxRuntimeBackend(model.SerializeToString(), "cpu", 1).run(feeds)["embedding"]


def test_cuts_are_the_stages(graphs: dict[str, onnx.ModelProto]) -> None:
    """There is a segment for each stage of the model, and little crosses a cut."""
    segments = cut(graphs["fp32"])

    ends = [name for part in segments for name in part.outputs if name.startswith(("backbone", "aggregation"))]
    assert ends[:2] == ["backbone.embedding", "backbone.layers.0"]
    assert ends[-1] == "aggregation.blocks.1.inter"
    assert segments[-1].outputs == ("embedding",)
    assert max(len(part.inputs) for part in segments[1:]) <= 4
    assert [part.start for part in segments[1:]] == [part.stop for part in segments[:-1]]


@pytest.mark.parametrize("precision", ("fp32", "fp16"))
def test_segments_are_the_model(
    graphs: dict[str, onnx.ModelProto], table: ScaleTable, inputs: dict[str, np.ndarray], precision: str
) -> None:
    """All segments one after the other give the embeddings of the whole."""
    chain = Chain(graphs[precision], table, "openvino", threads=1)

    found = chain.finish(0, [inputs], {})

    assert cosine_departures(whole(graphs[precision], inputs), found).max() < (1e-10 if precision == "fp32" else 1e-5)


def test_starting_later_changes_nothing(chain: Chain, material: Material) -> None:
    """What is computed from a later segment on is the same to the bit, whatever the number of threads."""
    values = material.batches()
    expected = chain.finish(0, values, {})

    for number in range(6):
        values = chain.step(number, values)

    assert np.array_equal(chain.finish(6, values, {}), expected)


def test_int8_is_that_of_the_whole(
    graphs: dict[str, onnx.ModelProto], table: ScaleTable, chain: Chain, inputs: dict[str, np.ndarray]
) -> None:
    """Layers in int8 inside their segments cost what they cost inside the whole model."""
    reference = chain.finish(0, [inputs], {})

    in_segments = cosine_departures(reference, chain.finish(0, [inputs], chain.in_int8(LAYERS)))
    as_a_whole = whole(quantized(graphs["fp32"], table, "openvino", LAYERS), inputs)

    assert in_segments.min() > 1e-9
    assert in_segments == pytest.approx(cosine_departures(reference, as_a_whole), rel=0.05)


def test_only_segments_in_question_are_made_anew(chain: Chain) -> None:
    """One int8 session for each segment that holds a layer, none for the others."""
    assert sorted(chain.in_int8(LAYERS)) == sorted({chain.place[layer] for layer in LAYERS})
    assert chain.in_int8(()) == {}


def test_work_is_counted(graphs: dict[str, onnx.ModelProto], chain: Chain, inputs: dict[str, np.ndarray]) -> None:
    """Multiplications follow from the shapes: 64 x 32 pixels are 4 x 2 patches, and three sensors are three streams."""
    found = chain.work({name: value[:1] for name, value in inputs.items()})

    prompts = 12
    assert found["backbone.embedding.patches"] == 3 * 8 * 3 * 16 * 16 * 128
    assert found["backbone.layers.2.mlp.inner"] == 3 * (1 + 8 + prompts) * 128 * 256
    assert set(found) == {point.module for point in points(graphs["fp32"])}


def test_a_table_of_another_model(graphs: dict[str, onnx.ModelProto], table: ScaleTable) -> None:
    """A layer without a scale is named."""
    other = ScaleTable(table.activations[1:], 1, "m", "d", "auto", "f")

    with pytest.raises(ArtifactError, match=table.activations[0].modules[0]):
        Chain(graphs["fp32"], other, "openvino")


def test_a_graph_without_types(graphs: dict[str, onnx.ModelProto]) -> None:
    """A file whose values have lost their types cannot be taken apart, and says so."""
    model = onnx.ModelProto()
    model.CopyFrom(graphs["fp32"])
    del model.graph.value_info[:]

    with pytest.raises(ArtifactError, match="does not tell the type"):
        extract(model, cut(model)[1])
