"""A bundle with artifacts of several kinds, a benchmark, a sensitivity analysis, and what the report makes of them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.common.files.atomic import sha256_of
from mambapro.export.pipeline import ExportReport
from mambapro.export.report import measure
from mambapro.export.report.bundle_report import BundleReport
from mambapro.export.report.write_report import ReportOptions, report_bundle
from mambapro.runtime.bundle.artifact import (
    AccuracyGate,
    Build,
    CosineGate,
    EngineNeeds,
    Plugin,
    Profile,
    Sidecar,
    SpeedGate,
)
from mambapro.runtime.bundle.catalog import add_artifact
from mambapro.synthetic.benchmark import draw_benchmark
from onnx import helper, numpy_helper
from PIL import Image


def quantized(model: onnx.ModelProto, part: str) -> onnx.ModelProto:
    """A copy in which the matrix products of the modules that end in `part` have Q/DQ on both sides."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in made.graph.node:
        scopes = "".join(entry.value for entry in node.metadata_props)
        if node.op_type == "MatMul" and node.input[1] in weights and f"{part}'" in scopes:
            value, weight = node.input
            array = numpy_helper.to_array(weights[weight])
            scale = (np.abs(array).max() / 127).astype(np.float32)
            constants = {
                f"{weight}_q": np.rint(array / scale).astype(np.int8),
                f"{weight}_s": scale,
                f"{weight}_z": np.int8(0),
                f"{value}_{weight}_s": np.float32(0.05),
            }
            made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
            seen, zero = f"{value}_{weight}_s", f"{weight}_z"
            nodes += [
                helper.make_node("QuantizeLinear", [value, seen, zero], [f"{value}_{weight}_q"]),
                helper.make_node("DequantizeLinear", [f"{value}_{weight}_q", seen, zero], [f"{value}_{weight}"]),
                helper.make_node("DequantizeLinear", [f"{weight}_q", f"{weight}_s", zero], [f"{weight}_dq"]),
            ]
            node.input[0], node.input[1] = f"{value}_{weight}", f"{weight}_dq"
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(copies)
    return made


def sidecar(target: str, precision: str, path: Path, onnx_file: str, **changes: object) -> Sidecar:
    """A verified artifact that passed its gates."""
    limit = {"fp32": 1e-8, "bf16": 1e-2, "fp16": 1e-4, "int8": 1e-2}[precision]
    accuracy = None if precision == "fp32" else AccuracyGate("rgbnt201", 90, 90, 0.8, 0.799, 0.001, -0.001, 0.002, 0.01)
    speed = SpeedGate(1, 2.0, f"{target}-fp32", 5.0) if precision == "int8" else None
    values = {
        "file": path.name,
        "target": target,
        "precision": precision,
        "state": "verified",
        "sha256": sha256_of(path),
        "onnx": onnx_file,
        "build": Build(1.0, path.stat().st_size),
        "max_departure": limit,
        "max_map_drop": 0.01,
        "cosine": CosineGate(limit / 10, limit / 100, limit, 14),
        "accuracy": accuracy,
        "speed": speed,
        "verified_on": "CPU, a <processor>, 2 CPUs",
    }
    return Sidecar(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def rich_bundle(exports: dict[str, ExportReport], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp32 export with OpenVINO fp32, int8 of ONNX Runtime whose scales are wrong, and an engine for a GPU."""
    folder = tmp_path_factory.mktemp("rich") / "tiny & <b>.mambapro"
    shutil.copytree(exports["fp32"].bundle, folder)
    add_artifact(folder, sidecar("openvino", "fp32", folder / "model.onnx", "model.onnx"), {})
    made = quantized(onnx.load(folder / "model.onnx"), "mlp.inner")
    stage = tmp_path_factory.mktemp("stage")
    for stem in ("onnxruntime-int8", "tensorrt-int8"):
        onnx.save(made, stage / f"{stem}.onnx")
    path = stage / "onnxruntime-int8.onnx"
    add_artifact(folder, sidecar("onnxruntime", "int8", path, path.name, max_departure=1e-9), {path.name: path})
    engine = stage / "tensorrt-int8.engine"
    engine.write_bytes(b"a plan")
    needs = EngineNeeds("10.12.0.36", ("8.6",), "compute-capability", False, "linux-x86_64", Plugin("embedded"))
    unproved = {"state": "unverified", "cosine": None, "accuracy": None, "speed": None, "verified_on": None}
    beside = sidecar("tensorrt", "int8", engine, "tensorrt-int8.onnx", engine=needs, profile=Profile(), **unproved)
    add_artifact(folder, beside, {engine.name: engine, "tensorrt-int8.onnx": stage / "tensorrt-int8.onnx"})
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn benchmark."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_benchmark(folder, "rgbnt201", identities=(2, 5), views=3)
    return folder


@pytest.fixture(scope="session")
def reported(
    rich_bundle: Path, data: Path, analysis: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BundleReport, Path]:
    """The report of the rich bundle with everything in it, and its page."""
    page = tmp_path_factory.mktemp("page") / "report.html"
    options = ReportOptions(rich_bundle, data, "rgbnt201", analysis, page, runs=2, strips=2, bootstrap=50)
    with pytest.MonkeyPatch.context() as patch:
        # each round is three processes
        patch.setattr(measure, "ROUNDS", 1)
        return report_bundle(options), page


def png(width: int = 300, height: int = 120) -> bytes:
    """A picture with something in it."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "PNG")
    return file.getvalue()


LOSS = {"mean": 1e-4, "median": 9e-5, "largest": 1e-3, "error": 1e-5, "map_drop": 0.001}


def analysis_files(model: str = "0" * 64) -> dict[str, object]:
    """The files of a sensitivity analysis by name, JSON as values."""
    key = {"model": model, "grouping": "layer"}
    names = [f"backbone.layers.{i}.mlp.inner" for i in range(3)]
    ranking = {
        "entries": [{"name": name, "modules": [name], "loss": LOSS, "work": 9} for name in names],
        "grouping": "layer", "samples": 32, "queries": 30, "junk": "camera", "map": 0.9, "key": key,
    }  # fmt: skip
    points = [
        {"floats": names[:i], "share": 1 - i / 3, "loss": LOSS, "milliseconds": 3.0 + i, "front": True}
        for i in range(3)
    ]
    pareto = {
        "points": points, "chosen": 1, "limits": {"map_drop": 0.01, "departure": 0.01}, "target": "onnxruntime",
        "batch": 1, "order": names, "map": None, "key": key,
    }  # fmt: skip
    return {
        "ranking.json": ranking, "pareto.json": pareto, "policy.toml": '# <why>\ndefault = "int8"\n',
        "ranking.png": png(), "pareto.png": png(400, 300), "state.json": {},
    }  # fmt: skip


@pytest.fixture(scope="session")
def make_analysis(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_analysis(**files) -> folder of an analysis; a file given as None is left out."""

    def make(model: str = "0" * 64, **changed: object) -> Path:
        folder = tmp_path_factory.mktemp("analysis")
        for name, value in {**analysis_files(model), **{n.replace("_", "."): v for n, v in changed.items()}}.items():
            if isinstance(value, bytes):
                (folder / name).write_bytes(value)
            elif isinstance(value, str):
                (folder / name).write_text(value)
            elif value is not None:
                (folder / name).write_text(json.dumps(value))
        return folder

    return make


@pytest.fixture(scope="session")
def analysis(rich_bundle: Path, make_analysis: Callable[..., Path]) -> Path:
    """An analysis of the rich bundle's model."""
    return make_analysis(sha256_of(rich_bundle / "model.onnx"))


@pytest.fixture(scope="session")
def quantize() -> Callable[[onnx.ModelProto, str], onnx.ModelProto]:
    """The function `quantized`."""
    return quantized


@pytest.fixture(scope="session")
def make_sidecar() -> Callable[..., Sidecar]:
    """The function `sidecar`."""
    return sidecar
