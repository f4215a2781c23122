"""Bundles of attribute models: metadata, gates on a drawn set, calibration images, layers that may be int8."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from attribute_reference import state_of, token_ids
from click.testing import CliRunner
from mambapro.calib.images import calibration_images
from mambapro.calib.policy import presets, read_policy
from mambapro.cli.main import cli
from mambapro.errors import ArtifactError, InputError
from mambapro.export.artifacts.build_artifact import build_artifact
from mambapro.export.artifacts.build_options import BuildOptions, QuantizeOptions
from mambapro.export.engines.build_engine import build_engine
from mambapro.export.engines.engine_options import EngineOptions
from mambapro.export.pipeline import ExportReport, export_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.graph.layers import points
from mambapro.runtime.bundle.artifact import Profile
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import METADATA, MODEL, write_sums
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.data.readers.benchmarks import read_benchmark
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.session import Session
from mambapro.synthetic.attribute_benchmark import draw_attribute_set
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.registry import model_class


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn PA100K of few images."""
    root = tmp_path_factory.mktemp("attributes") / "pa100k"
    draw_attribute_set(root, "pa100k", seed=1, images=330)
    return root


@pytest.fixture(scope="module")
def exported(data: Path) -> ExportReport:
    """A float16 bundle of a tiny VSF with the names of PA100K, gated on its test part."""
    names = read_benchmark("pa100k", data).attributes
    labels = Labels.of_attributes(names.names, names.words, names.exclusive)
    named = NAMED_MODELS["mini_par_vsf_vim_s"]
    model = model_class(named.kind)(replace(named.config, attributes=len(names.names)))
    model.load_state_dict(state_of(model))
    model.set_constants(label_tokens=token_ids(len(names.names)))
    checkpoint = data.parent / "vsf.safetensors"
    save_checkpoint(model.eval(), checkpoint, training={"labels": labels.to_json(), "dataset": "pa100k"})
    return export_bundle(ExportOptions(checkpoint, "fp16", dataset="pa100k", data=str(data)))


def test_metadata(exported: ExportReport, data: Path) -> None:
    """Task, input, outputs and labels are stored, with no feature space; the text matrix has the hash of its list."""
    metadata = Bundle.open(exported.bundle).metadata
    names = read_benchmark("pa100k", data, test_only=True).attributes

    assert (metadata.task, metadata.modalities, metadata.feature_space) == ("attributes", ("rgb",), None)
    assert [(tensor.name, tensor.role) for tensor in metadata.inputs] == [("image", "image")]
    assert [tensor.name for tensor in metadata.outputs] == ["logits", "probabilities"]
    assert metadata.labels.names == names.names and metadata.labels.words == names.words
    assert metadata.labels.exclusive == names.exclusive and set(metadata.labels.thresholds) == {0.45}
    assert metadata.label_text.labels_sha256 == metadata.labels.sha256
    graph = onnx.load(exported.bundle / MODEL).graph
    assert metadata.label_text.initializer in [tensor.name for tensor in graph.initializer]


def test_accuracy_gate(exported: ExportReport) -> None:
    """The float16 model's losses of mA and F1 are gated with their intervals, and stand in the card."""
    gate = exported.parity.accuracy

    assert [one.metric for one in (gate, *gate.others)] == ["mA", "F1"]
    assert all(one.low <= one.drop <= one.high and one.drop <= one.limit for one in (gate, *gate.others))
    assert "| model.onnx, fp16 | mA | pa100k |" in (exported.bundle / "MODEL_CARD.md").read_text()


def test_probabilities(exported: ExportReport, data: Path) -> None:
    """The graph returns the sigmoid of its logits, in the goldens too."""
    golden = Bundle.open(exported.bundle).golden()

    with Session(exported.bundle, RunOptions(device="cpu")) as session:
        images = read_benchmark("pa100k", data, test_only=True).query[:3]
        outputs = session._run({"image": golden.inputs["image"]})

    assert len(images) == 3
    for values in (outputs, golden.outputs):
        np.testing.assert_allclose(values["probabilities"], 1 / (1 + np.exp(-values["logits"])), rtol=0, atol=1e-5)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None or sys.platform != "linux",
    reason="needs TensorRT-RTX on Linux: pip install tensorrt-rtx",
)
def test_engine(exported: ExportReport, tmp_path: Path) -> None:
    """An engine for TensorRT-RTX is built without a GPU; each scan is a plugin layer: 8 of Vim, 2 of the fusion."""
    options = EngineOptions("tensorrt_rtx", Profile(1, 2, 4), ("8.6",))

    report = build_engine(exported.bundle / MODEL, tmp_path / "x.engine", options)

    assert report.build.plugin_layers == 8 + 2
    assert report.build.bytes == (tmp_path / "x.engine").stat().st_size > 100_000


def test_reordered_labels(exported: ExportReport, tmp_path: Path) -> None:
    """A bundle whose labels were reordered beside the text matrix is refused."""
    copied = Path(shutil.copytree(exported.bundle, tmp_path / "copied.mambapro"))
    metadata = json.loads((copied / METADATA).read_text())
    metadata["labels"]["names"][:2] = metadata["labels"]["names"][1::-1]
    (copied / METADATA).write_text(json.dumps(metadata))
    write_sums(copied)

    with pytest.raises(ArtifactError, match="another list than that of the text matrix"):
        Bundle.open(copied)


def test_layers_in_int8(exported: ExportReport) -> None:
    """Projections may be int8, by the parts of the model; step sizes, mixtures of tokens and heads may not."""
    roles = Bundle.open(exported.bundle).metadata.modules
    found = points(onnx.load(exported.bundle / MODEL))
    names = {point.module for point in found}

    assert {"vim.layers.0.mixer.in_proj", "vim.layers.7.mixer.x_proj_b", "VSF_mamba.1.mixer.out_proj"} <= names
    assert {"vim_proj", "vim.patch_embed.proj"} <= names
    assert not [name for name in names if name.endswith("mixer") or "weight_layer" in name or name == "text"]
    assert set(presets(roles)) == {"linear", "vim", "fusion", "none"}
    assert read_policy("fusion", roles).modules(found) == {name for name in names if name.startswith("VSF_mamba.")}


def test_policy_of_another_model(exported: ExportReport) -> None:
    """A preset that the model does not have is refused with those that it has, before anything is built."""
    options = BuildOptions("openvino", "int8")
    options = replace(options, quantize=replace(options.quantize, policy=Path("backbone")))

    with pytest.raises(InputError, match=r"linear, vim, fusion, none"):
        build_artifact(exported.bundle, options)


def test_calibration_images(exported: ExportReport, data: Path, tmp_path: Path) -> None:
    """Calibration takes the training part of an attribute set, or any folder of images for a model of RGB alone."""
    preprocessing = Bundle.open(exported.bundle).metadata.preprocessing
    benchmark = read_benchmark("pa100k", data)
    for sample in benchmark.query[:9]:
        shutil.copy(sample.sources["rgb"].path, tmp_path)

    of_set = calibration_images(data, preprocessing, "pa100k", count=8, modalities=("rgb",))
    of_folder = calibration_images(tmp_path, preprocessing, count=8, modalities=("rgb",))

    assert {image.name for image in of_set.images} <= {sample.name for sample in benchmark.train}
    assert (of_set.offered, of_folder.offered) == (len(benchmark.train), 9)
    with pytest.raises(InputError, match="has no folder rgb, nir or tir"):
        calibration_images(tmp_path, preprocessing, count=8)
    with pytest.raises(InputError, match="9 of the calibration images are query or gallery images of pa100k"):
        calibration_images(tmp_path, preprocessing, "pa100k", data, count=8, modalities=("rgb",))
    assert QuantizeOptions(tmp_path, dataset="pa100k", data=data).benchmark_root is None
    assert QuantizeOptions(data, dataset="pa100k", data=data).benchmark_root == data


def test_bench(exported: ExportReport) -> None:
    """Any bundle can be timed."""
    command = ["bench", str(exported.bundle), "--runs", "1", "--rounds", "1", "--warmup", "0", "--batch", "1", "--json"]

    done = CliRunner().invoke(cli, command)

    assert done.exit_code == 0, done.output
    assert [timing["scope"] for timing in json.loads(done.stdout)["timings"]] == ["end to end", "model only"]
