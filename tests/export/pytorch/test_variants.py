"""Every part of the paper's ablation tables leaves as ONNX and returns PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mambapro.export.pytorch.bundle_metadata import fingerprint_of, weights_sha256
from mambapro.export.pytorch.onnx_graph import onnx_from_model
from mambapro.graph.cast import typed
from mambapro.runtime.bundle.metadata import fingerprint
from mambapro.runtime.data.batch import Batch
from mambapro.train.engine.image_ranges import model_preprocessing
from mambapro.train.models.mambapro import model_config as choices
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model

# Parts do not know of each other, so one export may carry several: each value of each field is in one of them.
# Two layers where one hands something to the next or is without a part, else one: exporting takes seconds.
COMBINED = [
    {"aggregation_kind": "sum", "prompt_kind": "srp_separation", "adapter_kind": "bottleneck", "depth": 2},
    {"aggregation_kind": "concat", "prompt_kind": "sp", "adapter_kind": "lora", "lora_rank": 8},
    {"aggregation_kind": "transformer", "prompt_kind": "independent", "adapter_position": "beside_mhsa"},
    {"aggregation_kind": "intra", "adapter_position": "behind_mhsa", "adapter_first_layer": 2, "depth": 2},
    {"aggregation_kind": "inter", "adapter_position": "behind_ffn", "prompt_first_layer": 2, "depth": 2},
    {"aggregation_kind": "ma_transformer", "backbone": "vit"},
]
LIMITS = {"fp32": 1e-5, "fp16": 2e-2}


def build(fields: dict) -> MambaPro:
    """A tiny model, every parameter moved, so that nothing is right because it is zero."""
    torch.manual_seed(1)
    size = "tiny_imagenet" if fields.get("backbone") == "vit" else "tiny"
    small = {"image_size": (64, 32), "cameras": 3, "identities": 4, "depth": 1, "aggregation_depth": 1}
    model = build_model(size, **{**small, **fields}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    return model


def run(graph: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The embedding of a graph in ONNX Runtime."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["embedding"], feeds)[0]


def feeds(batch: int) -> dict[str, np.ndarray]:
    """Random inputs; an unknown camera, and a missing sensor in the last sample."""
    rng = np.random.default_rng(batch)
    images = {m: rng.integers(0, 256, (batch, 64, 32, 3), dtype=np.uint8) for m in ("rgb", "nir", "tir")}
    mask = np.ones((batch, 3), np.float32)
    mask[-1, 1] = 0
    return {**images, "camera": np.arange(batch) - 1, "modality_mask": mask}


@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("fields", COMBINED, ids=lambda fields: "-".join(map(str, fields.values())))
def test_exports_and_agrees(fields: dict, precision: str) -> None:
    """The graph keeps its promises and returns the features of PyTorch, for any batch."""
    model = build(fields)

    graph = onnx_from_model(model)
    if precision != "fp32":
        graph = typed(graph, precision)

    assert set(model.spec.stages) <= {value.name for value in graph.graph.value_info}
    for batch in (1, 3):
        given = feeds(batch)
        images = {m: given[m] for m in ("rgb", "nir", "tir")}
        wanted = model.run(Batch(images, given["modality_mask"], given["camera"]))["embedding"]
        np.testing.assert_allclose(run(graph, given), wanted, rtol=0, atol=LIMITS[precision])


def test_every_part_is_exported() -> None:
    """The combinations above, and the published model of the other tests, hold every value of every choice."""
    for name in ("backbone", "adapter_kind", "adapter_position", "prompt_kind", "aggregation_kind"):
        allowed = getattr(choices, {"backbone": "BACKBONES"}.get(name, f"{name.upper()}S"))
        assert {allowed[0], *(fields[name] for fields in COMBINED if name in fields)} == set(allowed)


def test_constants_are_folded() -> None:
    """No low-rank matrix, no transfer, and where nothing is handed on one table of prompts is all that is left."""
    low_rank, separate = build(COMBINED[1]), build(COMBINED[0])

    names = set(low_rank.inference().state_dict())
    layer = {name.removeprefix("backbone.layers.0.") for name in names if name.startswith("backbone.layers.0.")}
    assert {name for name in layer if "prompt" in name or "out_proj" in name} == {
        "prompt.table",
        "attention.out_proj.weight",
        "attention.out_proj.bias",
    }
    assert not any("adapter" in name for name in names)
    kept = separate.inference().state_dict()
    assert "backbone.layers.1.prompt.residual.tir.inner.weight" in kept
    assert not any(".transfer." in name for name in kept)


def test_folding_leaves_the_model_alone() -> None:
    """Folding happens on a copy."""
    for fields in COMBINED:
        model = build(fields)
        before = {name: value.clone() for name, value in model.state_dict().items()}

        model.inference()

        after = model.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_feature_spaces_differ() -> None:
    """A variant is a feature space of its own even where its weights have the same names and shapes."""
    first = build({})
    second = MambaPro(build({"adapter_position": "behind_ffn"}).config)
    second.load_state_dict(first.state_dict())

    assert fingerprint_of(first) != fingerprint_of(second)


def test_the_published_feature_space_keeps_its_name() -> None:
    """Bundles from before there were variants still go with their checkpoint: new fields do not enter the id."""
    model = build({})
    new = {*choices.VARIANT_FIELDS, "lora_rank", "drop_path", "direct", "identities"}
    settings = {key: value for key, value in model.config.to_json().items() if key not in new}

    wanted = fingerprint(weights_sha256(model), model_preprocessing(model), settings)

    assert fingerprint_of(model) == wanted
