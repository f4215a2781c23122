"""The promises of the exported file."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mambapro
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mambapro.errors import ExportError
from mambapro.export.pytorch.onnx_graph import check_graph, onnx_from_model
from mambapro.runtime.data.batch import Batch
from mambapro.train.models.mambapro.sizes import build_model
from onnx import TensorProto

PRECISIONS = ("fp32", "fp16")


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The embedding of a graph."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}
    return session.run(["embedding"], {name: value for name, value in feeds.items() if name in known})[0]


def feeds(size: tuple[int, int], cameras: list[int], mask: list[list[int]] | None = None) -> dict[str, np.ndarray]:
    """Random inputs of a graph."""
    rng, batch = np.random.default_rng(5), len(cameras)
    images = {m: rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8) for m in ("rgb", "nir", "tir")}
    present = np.array(mask or [[1, 1, 1]] * batch, np.float32)
    return {**images, "camera": np.array(cameras, np.int64), "modality_mask": present}


def with_torch(model: torch.nn.Module, given: dict[str, np.ndarray]) -> np.ndarray:
    """PyTorch's features for the same inputs."""
    images = {m: given[m] for m in ("rgb", "nir", "tir")}
    return model.run(Batch(images, given["modality_mask"], given["camera"]))["embedding"]


@pytest.mark.parametrize("precision", PRECISIONS)
class TestFile:
    def test_inputs_and_outputs(self, precision: str, graphs: dict) -> None:
        """Names, types and shapes are those of the documentation, with a dynamic batch."""
        described = {
            value.name: (
                value.type.tensor_type.elem_type,
                [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
            )
            for value in (*graphs[precision].graph.input, *graphs[precision].graph.output)
        }

        image = (TensorProto.UINT8, ["batch", 64, 32, 3])
        assert list(described) == ["rgb", "nir", "tir", "camera", "modality_mask", "embedding"]
        assert described == {
            **dict.fromkeys(("rgb", "nir", "tir"), image),
            "camera": (TensorProto.INT64, ["batch"]),
            "modality_mask": (TensorProto.FLOAT, ["batch", 3]),
            "embedding": (TensorProto.FLOAT, ["batch", 192]),
        }

    def test_opset_and_operators(self, precision: str, graphs: dict) -> None:
        """Opset 20; real LayerNormalization; four SelectiveScan nodes with the plugin's attributes; no BatchNorm."""
        model = graphs[precision]
        counts = Counter(node.op_type for node in model.graph.node)
        scans = [node for node in model.graph.node if node.op_type == "SelectiveScan"]

        assert {entry.domain: entry.version for entry in model.opset_import} == {"": 20, "mambapro": 1}
        assert counts["LayerNormalization"] == 2 + 2 * 4 + 8 + 3
        assert counts["BatchNormalization"] == 0
        assert len(scans) == 4
        attributes = {attribute.name: attribute.s.decode() for attribute in scans[0].attribute}
        assert attributes == {"plugin_namespace": "mambapro", "plugin_version": "1"}
        assert [(function.domain, function.name) for function in model.functions] == [("mambapro", "SelectiveScan")]

    def test_training_is_gone(self, precision: str, graphs: dict) -> None:
        """Neither heads, nor prompt transfers, nor A_log are in the file."""
        names = " ".join(tensor.name for tensor in graphs[precision].graph.initializer)

        assert "adapter" in names
        for part in ("_head.", "classifier", ".transfer.", "A_log", "backbone.layers.0.prompt.residual"):
            assert part not in names

    def test_metadata_travels_in_the_file(self, precision: str, graphs: dict) -> None:
        """The ONNX properties hold the schema, the preprocessing and the fingerprint, as JSON."""
        properties = {entry.key: json.loads(entry.value) for entry in graphs[precision].metadata_props}

        assert properties["mambapro.schema"] == "mambapro.bundle/2"
        assert properties["mambapro.preprocessing"]["resize"] == "bilinear"
        assert len(properties["mambapro.feature_space"]["id"]) == 64

    def test_no_path_of_this_machine(self, precision: str, graphs: dict) -> None:
        """The file names no source file, no folder of packages, no folder of Python; nodes keep their modules."""
        content = graphs[precision].SerializeToString()
        folders = (Path(mambapro.__file__).parent, Path(torch.__file__).parents[1], Path(sys.base_prefix), Path.home())

        assert not [path for path in folders if len(path.parts) > 1 and f"{path}/".encode() in content]
        assert b".py" not in content
        keys = {entry.key for node in graphs[precision].graph.node for entry in node.metadata_props}
        assert keys == {"pkg.torch.onnx.name_scopes"}


class TestPrecision:
    def test_half_keeps_its_islands(self, graphs: dict) -> None:
        """Weights are float16; norms, scan constants and the reduction stay float32."""
        kinds = {tensor.name: tensor.data_type for tensor in graphs["fp16"].graph.initializer}

        def of(part: str) -> set[int]:
            return {kind for name, kind in kinds.items() if part in name}

        assert of(".ln_1.") == of(".out_norm.") == of("reduction.") == {TensorProto.FLOAT}
        assert of(".scans.A") == of(".scans.D") == {TensorProto.FLOAT}
        assert of(".mlp.") <= {TensorProto.FLOAT16}
        assert of("conv.rgb.conv.weight") == {TensorProto.FLOAT16}

    def test_softmax_is_float32(self, graphs: dict) -> None:
        """Every Softmax of the float16 graph reads the output of a cast to float32."""
        nodes = graphs["fp16"].graph.node
        makers = {output: node for node in nodes for output in node.output}

        casts = [makers[node.input[0]] for node in nodes if node.op_type == "Softmax"]

        assert len(casts) == 4
        assert {(node.op_type, node.attribute[0].i) for node in casts} == {("Cast", TensorProto.FLOAT)}

    def test_exporting_leaves_the_model_alone(self, tiny_model) -> None:
        """Folding happens on a copy."""
        before = {key: value.clone() for key, value in tiny_model.state_dict().items()}

        tiny_model.inference()

        after = tiny_model.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("fp16", 2e-2)])
class TestNumbers:
    def test_any_batch(self, precision: str, limit: float, graphs: dict, tiny_model) -> None:
        """One file serves every batch size."""
        for batch in (1, 2, 5):
            given = feeds((64, 32), list(range(batch)))

            np.testing.assert_allclose(run(graphs[precision], given), with_torch(tiny_model, given), atol=limit)

    def test_unknown_cameras(self, precision: str, limit: float, graphs: dict, tiny_model) -> None:
        """Numbers outside the table, however far, are the unknown camera."""
        far = [-1, -(2**40), 4, 2**40]
        given = feeds((64, 32), far)
        wanted = with_torch(tiny_model, {**given, "camera": np.full(4, -1)})

        np.testing.assert_allclose(run(graphs[precision], given), wanted, atol=limit)

    def test_missing_sensors(self, precision: str, limit: float, graphs: dict, tiny_model) -> None:
        """A masked image counts as zero after normalisation, whatever its pixels are."""
        given = feeds((64, 32), [0, 1, 2], [[1, 0, 1], [0, 1, 0], [1, 1, 0]])
        other = {**given, "nir": 255 - given["nir"]}

        found = run(graphs[precision], given)

        np.testing.assert_allclose(found, with_torch(tiny_model, given), atol=limit)
        np.testing.assert_array_equal(found[0], run(graphs[precision], other)[0])
        assert np.abs(found[1] - run(graphs[precision], other)[1]).max() > 10 * 1e-5


@pytest.mark.parametrize(
    "switches",
    [
        {"prompt": False},
        {"adapter": False},
        {"mamba": False},
        {"prompt": False, "adapter": False, "mamba": False},
        {"mamba_bi": True},
        {"sie_camera": False},
        {"sie_coe": 3.0, "image_size": (32, 64)},
        {"pixel_mean": (0.48, 0.46, 0.41), "pixel_std": (0.27, 0.26, 0.28)},
    ],
    ids=lambda switches: ",".join(switches),
)
def test_every_switch_exports(switches: dict) -> None:
    """Each variant of the model exports, with its own number of scans and inputs, and returns PyTorch's features."""
    torch.manual_seed(1)
    fields = {"image_size": (64, 32), "cameras": 3, "identities": 4, "depth": 2, "aggregation_depth": 1, **switches}
    model = build_model("tiny", **fields).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    given = feeds(fields["image_size"], [0, 2], [[1, 1, 1], [1, 0, 1]])

    graph = onnx_from_model(model)

    scans = [node for node in graph.graph.node if node.op_type == "SelectiveScan"]
    assert len(scans) == (2 if model.config.mamba else 0)
    assert ("camera" in {value.name for value in graph.graph.input}) == model.config.sie_camera
    np.testing.assert_allclose(run(graph, given), with_torch(model, given), atol=2e-5)


def test_stages_are_values_of_the_graph(graphs: dict, tiny_model) -> None:
    """Every stage is a named value with a shape, so that a trace can ask for it."""
    values = {value.name for value in graphs["fp32"].graph.value_info}

    assert set(tiny_model.spec.stages) <= values


def test_a_broken_promise_is_told(graphs: dict, tiny_model) -> None:
    """ExportError when the graph has another number of scans than the model."""
    with pytest.raises(ExportError, match="should have"):
        check_graph(graphs["fp32"], replace(tiny_model.spec, operators={"LayerNormalization": 3}))
