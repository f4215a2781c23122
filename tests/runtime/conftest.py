"""A small model and its bundle, for every test of the runtime; no PyTorch.

The model: each image is normalised, masked, and averaged under three fixed spatial weights; a matrix maps the 27
numbers to `dim`, and the camera's row is added. `reference` is the same in NumPy, so that tests know the right answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.common.files.atomic import sha256_of
from mambapro.runtime.bundle.artifact import Build, Sidecar
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.runtime.bundle.checksums import MODEL, write_sums
from mambapro.runtime.bundle.metadata import (
    Artifact,
    BundleMetadata,
    Checkpoint,
    Embedding,
    FeatureSpace,
    Precision,
    TensorInfo,
    fingerprint,
)
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.runtime.data.preprocess import Preprocessing
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH, DIM, CAMERAS = 16, 8, 12, 4


@dataclass(frozen=True)
class SmallModel:
    """Weights of the small model, and its answer in NumPy."""

    spatial: np.ndarray
    projection: np.ndarray
    table: np.ndarray

    def reference(self, images: dict[str, np.ndarray], mask: np.ndarray, cameras: np.ndarray | None) -> np.ndarray:
        """float32 (N, dim) of uint8 images by modality, mask (N, 3) and cameras (N,)."""
        parts = []
        for column, modality in enumerate(MODALITIES):
            x = (images[modality].astype(np.float64) / 255.0 - 0.5) / 0.5 * mask[:, column, None, None, None]
            parts += [(x * weight[:, :, None]).mean(axis=(1, 2)) for weight in self.spatial]
        result = np.concatenate(parts, axis=1) @ self.projection
        if cameras is not None:
            known = len(self.table) - 1
            result = result + self.table[np.where((cameras < 0) | (cameras >= known), known, cameras)]
        return result.astype(np.float32)


@pytest.fixture(scope="session")
def small_model() -> SmallModel:
    """The weights, the same for the whole session."""
    rng = np.random.default_rng(7)
    table = rng.normal(size=(CAMERAS, DIM)).astype(np.float32)
    return SmallModel(
        spatial=rng.normal(size=(3, HEIGHT, WIDTH)).astype(np.float32),
        projection=rng.normal(size=(27, DIM)).astype(np.float32),
        table=np.concatenate([table, table.mean(axis=0, keepdims=True)]),
    )


def _onnx_bytes(model: SmallModel, cameras: int, batch: int | None) -> bytes:
    axis = "batch" if batch is None else batch
    constants = {
        "half": np.float32(0.5),
        "full": np.float32(255.0),
        "axes": np.array([1, 2], np.int64),
        "projection": model.projection,
        "table": model.table,
        "known": np.int64(cameras),
        "zero": np.int64(0),
        **{f"weight{k}": model.spatial[k][None, :, :, None] for k in range(3)},
        **{f"column{i}": np.array([i], np.int64) for i in range(3)},
        "mask_axes": np.array([2, 3], np.int64),
    }
    nodes, parts = [], []
    for i, name in enumerate(MODALITIES):
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("Div", [f"{name}_f", "full"], [f"{name}_1"]),
            helper.make_node("Sub", [f"{name}_1", "half"], [f"{name}_2"]),
            helper.make_node("Div", [f"{name}_2", "half"], [f"{name}_3"]),
            helper.make_node("Gather", ["modality_mask", f"column{i}"], [f"{name}_m"], axis=1),
            helper.make_node("Unsqueeze", [f"{name}_m", "mask_axes"], [f"{name}_mm"]),
            helper.make_node("Mul", [f"{name}_3", f"{name}_mm"], [f"{name}_4"]),
        ]
        for k in range(3):
            nodes.append(helper.make_node("Mul", [f"{name}_4", f"weight{k}"], [f"{name}_w{k}"]))
            nodes.append(helper.make_node("ReduceMean", [f"{name}_w{k}", "axes"], [f"{name}_p{k}"], keepdims=0))
            parts.append(f"{name}_p{k}")
    nodes.append(helper.make_node("Concat", parts, ["pooled"], axis=1))
    nodes.append(helper.make_node("MatMul", ["pooled", "projection"], ["projected" if cameras else "embedding"]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, [axis, HEIGHT, WIDTH, 3]) for name in MODALITIES]
    if cameras:
        nodes += [
            helper.make_node("Less", ["camera", "zero"], ["below"]),
            helper.make_node("GreaterOrEqual", ["camera", "known"], ["above"]),
            helper.make_node("Or", ["below", "above"], ["outside"]),
            helper.make_node("Where", ["outside", "known", "camera"], ["row"]),
            helper.make_node("Gather", ["table", "row"], ["camera_part"], axis=0),
            helper.make_node("Add", ["projected", "camera_part"], ["embedding"]),
        ]
        inputs.append(helper.make_tensor_value_info("camera", TensorProto.INT64, [axis]))
    inputs.append(helper.make_tensor_value_info("modality_mask", TensorProto.FLOAT, [axis, 3]))
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [axis, DIM])
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


@pytest.fixture(scope="session")
def small_metadata() -> BundleMetadata:
    """Metadata of the small model with four cameras and a dynamic batch."""
    pre = Preprocessing(HEIGHT, WIDTH, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    images = tuple(
        TensorInfo(name, "image", "uint8", ("batch", HEIGHT, WIDTH, 3), f"{name} image") for name in MODALITIES
    )
    others = (
        TensorInfo("camera", "camera", "int64", ("batch",), "camera number"),
        TensorInfo("modality_mask", "modality_mask", "float32", ("batch", 3), "1 = present"),
    )
    return BundleMetadata(
        name="small",
        task="re-identification",
        inputs=images + others,
        outputs=(TensorInfo("embedding", "embedding", "float32", ("batch", DIM), "raw embedding"),),
        modalities=MODALITIES,
        preprocessing=pre,
        embedding=Embedding(DIM),
        cameras=CAMERAS,
        precision=Precision("fp32", {"all": "fp32"}),
        artifacts=(Artifact("model.onnx", "onnxruntime", {"opset": 20}, "verified"),),
        feature_space=FeatureSpace(fingerprint("0" * 64, pre, {"dim": DIM})),
        versions={"onnx": onnx.__version__},
        checkpoint=Checkpoint("best.pth", "0" * 64),
        git_commit=None,
        datasets=("rgbnt201",),
        created="2030-01-31T12:00:00+00:00",
    )


def _resized(tensors: tuple[TensorInfo, ...], batch: int | None) -> tuple[TensorInfo, ...]:
    return tuple(replace(t, shape=("batch" if batch is None else batch, *t.shape[1:])) for t in tensors)


MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path, small_model: SmallModel, small_metadata: BundleMetadata) -> MakeBundle:
    """make_bundle(name="b", cameras=4, batch=None, limit=1e-8, **fields of the metadata) -> folder."""

    def make(name: str = "b", cameras: int = CAMERAS, batch: int | None = None, limit: float = 1e-8, **fields) -> Path:
        folder = tmp_path / f"{name}.mambapro"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(_onnx_bytes(small_model, cameras, batch))
        inputs = tuple(tensor for tensor in small_metadata.inputs if cameras or tensor.role != "camera")
        metadata = replace(
            small_metadata,
            **{
                "inputs": _resized(inputs, batch),
                "outputs": _resized(small_metadata.outputs, batch),
                "cameras": cameras,
                **fields,
            },
        )
        (folder / "metadata.json").write_text(json.dumps(metadata.to_json()))
        rng = np.random.default_rng(11)
        images = {m: rng.integers(0, 256, (7, HEIGHT, WIDTH, 3), np.uint8) for m in MODALITIES}
        mask = np.ones((7, 3), np.float32)
        mask[5, 0] = mask[6, 1:] = 0
        camera = np.array([0, 1, 2, 3, -1, 99, 0])
        embedding = small_model.reference(images, mask, camera if cameras else None)
        np.savez(folder / "golden.npz", **images, camera=camera, modality_mask=mask, embedding=embedding)
        (folder / "parity.json").write_text(json.dumps({"limit": limit, "subsets": {}}))
        write_sums(folder)
        return folder

    return make


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    """Folder of a good bundle: four cameras, dynamic batch."""
    return make_bundle()


@pytest.fixture
def images() -> dict[str, np.ndarray]:
    """Five samples of the model's size, uint8 (5, H, W, 3) by modality."""
    rng = np.random.default_rng(3)
    return {modality: rng.integers(0, 256, (5, HEIGHT, WIDTH, 3), np.uint8) for modality in MODALITIES}


def _sidecar_of(file: Path, target: str = "onnxruntime", precision: str = "int8", **changes: object) -> Sidecar:
    """A sidecar of a file that is its own ONNX."""
    made = Sidecar(
        file=f"{target}-{precision}.onnx",
        target=target,
        precision=precision,
        state="verified",
        sha256=sha256_of(file),
        onnx=f"{target}-{precision}.onnx",
        build=Build(1.0, file.stat().st_size),
        max_departure=1e-2,
        max_map_drop=0.01,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def sidecar_of() -> Callable[..., Sidecar]:
    """sidecar_of(file, target="onnxruntime", precision="int8", **fields): of a file that is its own ONNX."""
    return _sidecar_of


@pytest.fixture
def changed(bundle: Path, tmp_path: Path) -> Path:
    """The bundle's model with a projection that is one part in a thousand off, as an artifact's file."""
    model = onnx.load(bundle / MODEL)
    for tensor in model.graph.initializer:
        if tensor.name == "projection":
            values = onnx.numpy_helper.to_array(tensor)
            noise = 1e-3 * np.random.default_rng(0).normal(size=values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array((values * (1 + noise)).astype(np.float32), "projection"))
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def with_int8(bundle: Path, changed: Path) -> Path:
    """The bundle with that file as its int8 artifact for ONNX Runtime."""
    made = _sidecar_of(changed)
    add_artifact(bundle, made, {made.file: changed})
    return bundle


@pytest.fixture
def with_openvino(bundle: Path, changed: Path) -> Path:
    """The bundle with the changed model as its float32 artifact for OpenVINO, which is taken before ONNX Runtime's."""
    made = _sidecar_of(changed, "openvino", "fp32", hint="f32")
    add_artifact(bundle, made, {made.file: changed})
    return bundle
