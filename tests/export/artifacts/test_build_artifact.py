"""Artifacts of a bundle: built, gated, added whole or not at all."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.errors import AccuracyError, ArtifactError, InputError, ParityError, SetupError
from mambapro.export.artifacts import gates
from mambapro.export.artifacts.build_artifact import ArtifactBuilder, BuildReport, build_artifact
from mambapro.export.artifacts.build_options import BuildOptions, QuantizeOptions, require_pair
from mambapro.export.artifacts.gates import Gates
from mambapro.export.artifacts.quantizer import QuantizedModel, Quantizer
from mambapro.export.pipeline import export_bundle, is_bundle
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.graph.value_types import SCOPES
from mambapro.runtime.backends import openvino
from mambapro.runtime.bundle.artifact import AccuracyGate, EngineNeeds, Plugin, read_sidecar
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.checksums import SUMS, write_sums
from mambapro.runtime.bundle.limits import LIMITS, MAP_DROPS
from mambapro.runtime.evaluation.gates import speed as racing
from mambapro.runtime.extractor import Extractor, open_session
from mambapro.runtime.run_options import RunOptions
from mambapro.runtime.selection import candidates
from mambapro.runtime.verification.check import check_bundle
from mambapro.synthetic.benchmark import draw_benchmark

needs_bf16 = pytest.mark.skipif(
    "BF16" not in openvino.import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="needs a processor with bfloat16 products",
)


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 bundle of the tiny model."""
    folder = tmp_path_factory.mktemp("exported") / "tiny.mambapro"
    return export_bundle(ExportOptions(tiny_checkpoint, output=folder)).bundle


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may build into."""
    return shutil.copytree(exported, tmp_path / "tiny.mambapro")


class Noise(Quantizer):
    """A quantizer in name: every weight a little off, so that the gates have something to measure."""

    def __init__(self) -> None:
        self.options = QuantizeOptions(scales=Path("scales.json"))

    def quantize(self, model: onnx.ModelProto, target: str, bundle: Bundle) -> QuantizedModel:
        rng, changed = np.random.default_rng(0), onnx.ModelProto()
        changed.CopyFrom(model)
        for tensor in changed.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                values = onnx.numpy_helper.to_array(tensor)
                scaled = values * (1 + 1e-4 * rng.normal(size=values.shape))
                tensor.CopyFrom(onnx.numpy_helper.from_array(scaled.astype(np.float32), tensor.name))
        return QuantizedModel(changed, ("backbone.layers.0.mlp.inner",), '{"of": "a test"}\n')


def build_int8(bundle: Path, options: BuildOptions) -> BuildReport:
    """An artifact in int8 of that name alone."""
    return build_artifact(bundle, options, quantizer=Noise())


def timed(int8: float, others: float) -> Callable[..., dict[str, tuple[float, ...]]]:
    """A race of known outcome, in milliseconds."""
    return lambda folder, items, *_, **__: {x.stem: (int8 if x.precision == "int8" else others,) * 5 for x in items}


#: What int8 takes in a race, in milliseconds.
INT8_2 = {"openvino-int8": (2.0,) * 5}


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestBuild:
    @pytest.mark.parametrize(
        ("target", "precision"),
        [pytest.param("openvino", "bf16", marks=needs_bf16), ("openvino", "fp32"), ("onnxruntime", "fp16")],
    )
    def test_built_and_verified(self, target: str, precision: str, bundle: Path) -> None:
        """The artifact passes its gate here, is listed as verified, and the extractor runs it."""
        made = build_artifact(bundle, BuildOptions(target, precision)).artifact

        assert made.state == "verified" and made.cosine is not None and made.cosine.largest <= made.max_departure
        assert read_sidecar(bundle / f"{made.stem}.json") == made
        check_bundle(bundle, "cpu")
        with Extractor(bundle, "cpu", target=target, precision=precision) as extractor:
            assert extractor.artifact == made
        assert is_bundle(bundle)

    def test_bf16_that_was_not_computed_is_unverified(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A processor that computes bfloat16 in float32 proves nothing of it, so the artifact waits for another one."""
        monkeypatch.setattr(openvino, "_precision", lambda *_: "f32")

        made = build_artifact(bundle, BuildOptions("openvino", "bf16")).artifact

        assert (made.state, made.cosine, made.verified_on) == ("unverified", None, None)
        assert "openvino-bf16 stays unverified: this processor has no bf16" in caplog.text

    def test_code_of_the_bundle_is_not_run(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was in the bundle before is as little trusted as anywhere else."""
        opened: list[RunOptions] = []
        monkeypatch.setattr(gates, "open_session", lambda b, o, s: opened.append(o) or open_session(b, o, s))

        build_artifact(bundle, BuildOptions("onnxruntime", "fp16"))

        assert opened and not any(opening.load_plugins for opening in opened)

    def test_goes_on_without_pytorch(self, bundle: Path) -> None:
        """Building imports no torch: it is for the machine that has the runtime."""
        script = (
            "import sys\nsys.modules['torch'] = None\nfrom pathlib import Path\n"
            "from mambapro.export.artifacts.build_artifact import build_artifact\n"
            "from mambapro.export.artifacts.build_options import BuildOptions\n"
            "print(build_artifact(Path(sys.argv[1]), BuildOptions('openvino', 'fp32')).artifact.state)"
        )
        done = subprocess.run([sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, check=False)

        assert done.stdout == "verified\n", done.stderr

    def test_int8_keeps_its_table_and_is_raced(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The table of scales stands in the bundle; the speed gate compares with the same target's float."""
        monkeypatch.setattr(racing, "time_interleaved", timed(int8=1.0, others=2.0))

        made = build_int8(bundle, BuildOptions("openvino")).artifact

        assert (made.precision, made.quantized) == ("int8", ("backbone.layers.0.mlp.inner",))
        assert (bundle / "openvino-int8.scales.json").read_text() == '{"of": "a test"}\n'
        assert made.speed is not None and (made.speed.other, made.speed.ratio) == ("openvino-bf16", 2.0)
        # the rival was built for the race alone
        assert [item.stem for item in Bundle.open(bundle).artifacts] == ["onnxruntime-fp32", "openvino-int8"]

    def test_replaced_only_when_told(self, bundle: Path) -> None:
        """InputError for a second build of the same artifact, unless it may overwrite."""
        build_artifact(bundle, BuildOptions("openvino", "bf16"))

        with pytest.raises(InputError, match="has openvino-bf16 already"):
            build_artifact(bundle, BuildOptions("openvino", "bf16"))
        build_artifact(bundle, BuildOptions("openvino", "bf16", overwrite=True))

    def test_rebuilt_from_the_bundle(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """--overwrite without calibration takes the typed ONNX that is there, with its table and its limits."""
        monkeypatch.setattr(racing, "time_interleaved", timed(int8=1.0, others=2.0))
        first = build_int8(bundle, BuildOptions("openvino", max_departure=0.005)).artifact
        before = (bundle / first.file).read_bytes()

        again = build_artifact(bundle, BuildOptions("openvino", "int8", overwrite=True)).artifact

        assert (bundle / again.file).read_bytes() == before
        assert (again.quantized, again.calibration) == (first.quantized, first.calibration)
        assert again.max_departure == 0.005 and again.state == "verified"

    def test_stored_limits_are_not_believed(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is kept from a bundle is held to the product's limits where the bundle's own are looser."""
        monkeypatch.setattr(racing, "time_interleaved", timed(int8=1.0, others=2.0))
        loose = BuildOptions("openvino", max_departure=1.5, max_map_drop=0.9)
        build_int8(bundle, loose)

        with caplog.at_level(logging.WARNING, "mambapro"):
            again = build_artifact(bundle, BuildOptions("openvino", "int8", overwrite=True)).artifact

        assert (again.max_departure, again.max_map_drop) == (LIMITS["int8"], MAP_DROPS["int8"])
        assert again.cosine is not None and again.cosine.limit == LIMITS["int8"]
        assert "the bundle's own limit 1.5 does not count, 0.01 does (--max-cosine-distance allows more)" in caplog.text

    def test_rivals_are_of_the_same_target(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """int8 of OpenVINO has to beat bf16 even where float32 alone is in the bundle."""
        raced: list[set[str]] = []

        def race(folder: Path, rivals: list, *_: object, **__: object) -> dict[str, tuple[float, ...]]:
            raced.append({rival.stem for rival in rivals})
            return timed(int8=1.0, others=2.0)(folder, rivals)

        monkeypatch.setattr(racing, "time_interleaved", race)
        build_artifact(bundle, BuildOptions("openvino", "fp32"))
        build_int8(bundle, BuildOptions("openvino", "int8"))

        assert raced == [{"openvino-int8", "openvino-fp32", "openvino-bf16"}]

    def test_says_what_was_not_gated(self, bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Without labelled images the mAP is not known, and that is said in the log and in the report."""
        with caplog.at_level(logging.WARNING, "mambapro"):
            report = build_artifact(bundle, BuildOptions("openvino", "fp32"))

        assert "the mAP of openvino-fp32 is not gated" in caplog.text
        assert "accuracy    not gated" in str(report)


class TestGates:
    """A gate that fails leaves the bundle as it was."""

    def test_departure(self, bundle: Path) -> None:
        """ParityError (5) beyond the largest 1 - cosine."""
        before = files(bundle)

        with pytest.raises(ParityError, match="openvino-bf16 does not return PyTorch's numbers"):
            build_artifact(bundle, BuildOptions("openvino", "bf16", max_departure=1e-12))
        assert files(bundle) == before and list(bundle.parent.glob(".*build")) == []

    def test_accuracy_through_the_artifact(self, bundle: Path, tmp_path: Path) -> None:
        """mAP is measured on the benchmark through the built file; the interval is about the drop."""
        draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 4), views=4)
        made = build_artifact(
            bundle, BuildOptions("onnxruntime", "fp16", data=tmp_path / "data", dataset="rgbnt201", max_map_drop=0.05)
        ).artifact

        gate = made.accuracy
        assert gate is not None and gate.low <= gate.drop <= gate.high and gate.limit == 0.05
        assert gate.drop == pytest.approx(gate.reference - gate.found)
        assert 0 < gate.reference < 1 and gate.queries > 3

    def test_lost_accuracy(self, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """AccuracyError (6) where the drop is above the limit."""
        before = files(bundle)
        worse = AccuracyGate("rgbnt201", 9, 9, 0.8, 0.7, 0.1, 0.05, 0.15, 0.005)
        monkeypatch.setattr(gates, "read_benchmark", lambda *_, **__: None)
        monkeypatch.setattr(gates, "accuracy_gate", lambda *_: worse)

        with pytest.raises(AccuracyError, match=r"openvino-bf16 loses 10\.00 points"):
            build_artifact(bundle, BuildOptions("openvino", "bf16", data=tmp_path, dataset="rgbnt201"))
        assert files(bundle) == before

    def test_slow_int8(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """AccuracyError (6) where int8 is not faster; --force keeps it and is written down."""
        monkeypatch.setattr(racing, "time_interleaved", timed(int8=2.0, others=1.0))
        before = files(bundle)

        with pytest.raises(AccuracyError, match=r"onnxruntime-int8 takes 2\.0 ms, onnxruntime-fp32 1\.0 ms"):
            build_int8(bundle, BuildOptions("onnxruntime"))
        assert files(bundle) == before
        made = build_int8(bundle, BuildOptions("onnxruntime", force=True)).artifact
        assert made.speed is not None and made.speed.forced

    def test_forced_int8_is_not_the_default(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it lost to is not added, so it is raced against what is there, and is chosen only where it is faster."""
        monkeypatch.setattr(racing, "time_interleaved", timed(int8=2.0, others=1.0))
        for milliseconds, chosen in ((3.0, "openvino-int8"), (1.5, "onnxruntime-fp32")):
            monkeypatch.setattr(
                gates,
                "time_interleaved",
                lambda folder, items, *_, ms=milliseconds, **__: {x.stem: (ms,) * 5 for x in items} | INT8_2,
            )
            made = build_int8(bundle, BuildOptions("openvino", force=True, overwrite=True)).artifact

            assert made.speed is not None and made.speed.other == "openvino-bf16"
            assert made.speed.listed == {"onnxruntime-fp32": milliseconds / 2.0}
            assert candidates(Bundle.open(bundle), RunOptions(device="cpu"))[0].stem == chosen

    def test_engine_without_a_gpu_is_unverified(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An artifact that cannot run here enters unverified, and nobody runs it by accident."""
        monkeypatch.setattr(gates, "why_not", lambda *_: "no GPU")
        base, builder = Bundle.open(bundle).base, ArtifactBuilder(bundle, BuildOptions("openvino", "bf16"))
        needs = EngineNeeds("1.7", ("8.6",), "same", False, "linux-x86_64", Plugin("none"))
        engine = replace(base, target="tensorrt-rtx", state="unverified", engine=needs)

        assert builder.gate(bundle, engine) == Gates("unverified")
        with pytest.raises(SetupError, match="cannot run here: no GPU"):
            builder.gate(bundle, replace(engine, engine=None))


class TestInput:
    @pytest.mark.parametrize(
        ("target", "precision", "base", "words"),
        [
            ("onnxruntime", "bf16", "fp32", "bf16"),
            ("openvino", "fp16", "fp32", "gains nothing"),
            ("onnxruntime", "int8", "fp16", "is made from float32"),
            ("openvino", "fp32", "fp16", "is made from float32"),
        ],
    )
    def test_pairs_that_are_not_built(self, target: str, precision: str, base: str, words: str) -> None:
        """InputError before anything is begun."""
        with pytest.raises(InputError, match=words):
            require_pair(target, precision, base)

    def test_int8_over_float16_for_engines(self) -> None:
        """Engines take int8 over a float16 model."""
        assert require_pair("tensorrt", "int8", "fp16") is None

    def test_int8_without_images(self, bundle: Path) -> None:
        """InputError says which option is missing."""
        with pytest.raises(InputError, match="--calib"):
            build_artifact(bundle, BuildOptions("openvino", "int8"))

    @pytest.mark.parametrize("damage", ["order", "scopes"])
    def test_a_graph_that_is_none(self, bundle: Path, damage: str) -> None:
        """Nodes out of order and modules that cannot be read are the file's fault, told before anything is built."""
        model = onnx.load(bundle / "model.onnx")
        if damage == "order":
            nodes = list(model.graph.node)[::-1]
            del model.graph.node[:]
            model.graph.node.extend(nodes)
        else:
            scopes = next(entry for entry in model.graph.node[-1].metadata_props if entry.key == SCOPES)
            scopes.value = "b['', 'aggregation']"
        # not into the file: other bundles may be links to it
        (bundle / "model.onnx").unlink()
        onnx.save(model, bundle / "model.onnx")
        write_sums(bundle)

        with pytest.raises(ArtifactError, match=r"no valid ONNX model|in an unknown way"):
            build_artifact(bundle, BuildOptions("onnxruntime", "fp16"))

        assert "onnxruntime-fp16.json" not in files(bundle)

    def test_the_model_itself(self, bundle: Path) -> None:
        """InputError for building what the bundle is."""
        with pytest.raises(InputError, match=r"is onnxruntime-fp32 already"):
            build_artifact(bundle, BuildOptions("onnxruntime"))

    @pytest.mark.parametrize(
        "values", [{"max_departure": 0.0}, {"max_map_drop": float("nan")}, {"dataset": "rgbnt201"}]
    )
    def test_options_that_cannot_be_meant(self, values: dict) -> None:
        """InputError."""
        with pytest.raises(InputError):
            BuildOptions("openvino", **values)

    def test_no_permission(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError where nothing may be written beside the bundle."""
        monkeypatch.setattr(os, "access", lambda *_: False)

        with pytest.raises(SetupError, match="no permission"):
            build_artifact(bundle, BuildOptions("openvino", "bf16"))


def test_killed_build_leaves_a_whole_bundle(bundle: Path) -> None:
    """SIGKILL at random moments: every listed file is whole, and the next build ends well."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom mambapro.export.artifacts.build_artifact import build_artifact\n"
        "from mambapro.export.artifacts.build_options import BuildOptions\nprint('go', flush=True)\n"
        "build_artifact(Path(sys.argv[1]), BuildOptions('onnxruntime', 'fp16', overwrite=True))"
    )
    for seed in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(bundle)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        time.sleep(random.Random(seed).uniform(0.0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        opened = Bundle.open(bundle)
        for name in opened.sums:
            opened.file(name)
        assert [item.stem for item in opened.artifacts] in (
            ["onnxruntime-fp32"],
            ["onnxruntime-fp32", "onnxruntime-fp16"],
        )
    build_artifact(bundle, BuildOptions("onnxruntime", "fp16", overwrite=True))
    check_bundle(bundle, "cpu")
    assert (bundle / SUMS).is_file()
