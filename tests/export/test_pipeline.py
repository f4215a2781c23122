"""From a checkpoint to a bundle: what is written, and that nothing is left when it cannot be."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mambapro.errors import AccuracyError, InputError, ParityError, SetupError
from mambapro.export import pipeline
from mambapro.export.pipeline import export_bundle, plan_export
from mambapro.export.pytorch import accuracy
from mambapro.export.pytorch.parity import require_parity
from mambapro.export.pytorch.parity_images import batches_of_subsets, parity_images
from mambapro.export.pytorch.parity_report import ParityReport, SubsetParity, read_parity
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.runtime.bundle.bundle import Bundle
from mambapro.runtime.bundle.limits import LIMITS
from mambapro.runtime.data.preprocess import Preprocessing
from mambapro.runtime.extractor import Extractor
from mambapro.runtime.verification.check import check_bundle
from mambapro.synthetic.benchmark import draw_benchmark
from onnx import numpy_helper


class TestBundle:
    @pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-11), ("fp16", 1e-5)])
    def test_parity_is_close(self, precision: str, limit: float, exports: dict) -> None:
        """All seven sets of sensors return PyTorch's features, far below the limit of the gate."""
        report = exports[precision].parity

        assert [s.sensors for s in report.subsets] == [
            *("rgb+nir+tir", "rgb+nir", "rgb+tir", "nir+tir", "rgb", "nir", "tir")
        ]
        assert [s.samples for s in report.subsets] == [32, *[8] * 6]
        assert report.max_departure < limit < LIMITS[precision]
        assert report.subsets[0].rank_agreement > 0.99
        assert report.passed

    @pytest.mark.parametrize("precision", ("fp32", "fp16"))
    def test_check_accepts_it(self, precision: str, exports: dict) -> None:
        """A fresh bundle passes its own check: eight goldens with all sensors and one of each other set."""
        report = check_bundle(exports[precision].bundle, device="cpu")

        assert report.samples == 14
        assert report.artifacts[0].largest_departure <= LIMITS[precision]

    def test_precisions_share_a_feature_space(self, exports: dict) -> None:
        """Embeddings of one checkpoint's bundles may be compared: equal fingerprints."""
        found = {Bundle.open(report.bundle).metadata.fingerprint for report in exports.values()}

        assert len(found) == 1

    def test_metadata_says_where_it_comes_from(self, exports: dict, tiny_checkpoint: Path) -> None:
        """Checkpoint name and hash, data set, precision of the parts, versions."""
        metadata = Bundle.open(exports["fp16"].bundle).metadata

        assert metadata.checkpoint.file == tiny_checkpoint.name
        assert metadata.datasets == ("rgbnt201",)
        assert metadata.precision.parts["layer_norm"] == "fp32"
        assert metadata.precision.parts["matmul_and_convolution"] == "fp16"
        assert {"torch", "onnx", "mambapro", "python"} <= set(metadata.versions)

    def test_trace_compares_every_stage(self, exports: dict) -> None:
        """With trace the report holds all stages in order, and none departs in fp32."""
        stages = exports["fp32"].parity.stages

        assert [stage.stage for stage in stages][:2] == ["backbone.embedding", "backbone.layers.0"]
        assert [stage.stage for stage in stages][-2:] == ["aggregation.blocks.1.inter", "embedding"]
        assert not any(stage.departs for stage in stages)

    def test_the_extractor_reads_it(self, exports: dict) -> None:
        """The runtime returns unit vectors of the model's length."""
        image = np.random.default_rng(0).integers(0, 256, (100, 40, 3), dtype=np.uint8)

        with Extractor(exports["fp16"].bundle, device="cpu") as extractor:
            embedding = extractor(image, None, image, cameras=1)

        assert embedding.shape == (1, 192)
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("exported_before")
def test_parity_on_real_images(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """With --data the gate runs on the benchmark's own gallery and says so."""
    draw_benchmark(tmp_path / "data", "rgbnt201", identities=(2, 8), views=4)
    options = ExportOptions(tiny_checkpoint, output=tmp_path / "out", dataset="rgbnt201", data=str(tmp_path / "data"))

    report = export_bundle(options)

    assert report.parity.passed
    assert report.parity.images == f"rgbnt201 in {tmp_path / 'data'}"


@pytest.mark.usefixtures("exported_before")
class TestAccuracy:
    def options(self, checkpoint: Path, folder: Path, **more: Any) -> ExportOptions:
        draw_benchmark(folder / "data", "rgbnt201", identities=(2, 8), views=4)
        data = {"dataset": "rgbnt201", "data": str(folder / "data")}
        return ExportOptions(checkpoint, "fp16", output=folder / "out", **data, **more)

    def test_float16_keeps_the_map(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """With labelled images the float16 file is evaluated beside PyTorch, and the bundle says what it found."""
        report = export_bundle(self.options(tiny_checkpoint, tmp_path))

        gate = report.parity.accuracy
        assert gate is not None and (gate.dataset, gate.queries, gate.limit) == ("rgbnt201", 32, 0.005)
        assert 0 < gate.reference < 1 and abs(gate.drop) < 0.005
        assert read_parity(Bundle.open(tmp_path / "out")).accuracy == gate
        assert "mAP " in str(report) and "points, limit 0.50" in str(report)

    def test_lost(self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """AccuracyError where it loses more than is allowed, and no bundle is left."""
        judge = accuracy.accuracy_of

        def worse(first: Any, second: Any, *more: Any) -> Any:
            half = tuple(value / 2 for value in second.per_query_ap)
            return judge(first, replace(second, map=second.map / 2, per_query_ap=half), *more)

        monkeypatch.setattr(accuracy, "accuracy_of", worse)

        with pytest.raises(AccuracyError, match=r"The exported model loses .* are allowed"):
            export_bundle(self.options(tiny_checkpoint, tmp_path, max_map_drop=0.01))
        assert not (tmp_path / "out").exists()

    def test_not_gated(self, tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Without labelled images that is said."""
        report = export_bundle(ExportOptions(tiny_checkpoint, "fp16", output=tmp_path / "out"))

        assert report.parity.accuracy is None
        assert "the mAP of the float16 model is not gated" in caplog.text


def test_plan_writes_nothing(tiny_checkpoint: Path) -> None:
    """The plan names the bundle beside the checkpoint and what stays float32, and leaves no file."""
    before = sorted(tiny_checkpoint.parent.iterdir())

    plan = plan_export(ExportOptions(tiny_checkpoint, "fp16"))

    assert plan.bundle == str(tiny_checkpoint.with_name("best-fp16.mambapro"))
    assert "softmax" in str(plan) and "opset 20" in str(plan)
    assert plan.exported_parameters < plan.parameters
    assert sorted(tiny_checkpoint.parent.iterdir()) == before


@pytest.mark.usefixtures("exported_before")
class TestNothingIsLeft:
    """Whatever goes wrong, the folder of the output is as before."""

    def assert_fails(self, checkpoint: Path, folder: Path, error: type[Exception], match: str, **options: Any) -> None:
        """An export that raises `error` and leaves `folder` as it was."""
        before = sorted(folder.rglob("*"))
        with pytest.raises(error, match=match):
            export_bundle(ExportOptions(checkpoint, output=folder / "out.mambapro", **options))
        assert sorted(folder.rglob("*")) == before

    def test_an_existing_output(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """InputError before any work, and the old content stays."""
        (tmp_path / "out.mambapro").mkdir()
        (tmp_path / "out.mambapro" / "precious").write_text("kept")

        self.assert_fails(tiny_checkpoint, tmp_path, InputError, "--overwrite")

        assert (tmp_path / "out.mambapro" / "precious").read_text() == "kept"

    def test_overwrite_replaces(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """With overwrite the old folder gives way to a complete bundle, and no temporary name remains."""
        (tmp_path / "out.mambapro").mkdir()
        (tmp_path / "out.mambapro" / "metadata.json").write_text("of an older bundle")

        export_bundle(ExportOptions(tiny_checkpoint, output=tmp_path / "out.mambapro", overwrite=True))

        assert [path.name for path in tmp_path.iterdir()] == ["out.mambapro"]
        assert {path.name for path in (tmp_path / "out.mambapro").iterdir()} == {
            *("model.onnx", "metadata.json", "golden.npz", "parity.json", "MODEL_CARD.md", "SHA256SUMS")
        }

    def test_a_folder_of_other_things(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """Overwriting replaces bundles only: a folder with anything else in it is refused and stays."""
        (tmp_path / "out.mambapro").mkdir()
        (tmp_path / "out.mambapro" / "metadata.json").write_text("{}")
        (tmp_path / "out.mambapro" / "precious").write_text("kept")

        self.assert_fails(tiny_checkpoint, tmp_path, InputError, "holds other things", overwrite=True)

        assert (tmp_path / "out.mambapro" / "precious").read_text() == "kept"

    def test_folders_made_on_the_way(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """Parents that were created for the output are removed again when the export fails."""
        options = ExportOptions(tiny_checkpoint, "fp16", tmp_path / "new" / "deep" / "x.mambapro", limit=1e-13)

        with pytest.raises(ParityError):
            export_bundle(options)

        assert list(tmp_path.iterdir()) == []

    def test_an_output_under_a_file(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """InputError when the output would have to be inside a file."""
        (tmp_path / "file").touch()

        with pytest.raises(InputError, match="is a file, not a folder"):
            export_bundle(ExportOptions(tiny_checkpoint, output=tmp_path / "file" / "x.mambapro"))

    def test_a_full_disk_beforehand(
        self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SetupError that says how much is needed when the disk has too little room."""
        usage = type("Usage", (), {"free": 1000})()
        monkeypatch.setattr(pipeline.shutil, "disk_usage", lambda path: usage)

        self.assert_fails(tiny_checkpoint, tmp_path, SetupError, "needs about 5 MB")

    @pytest.mark.parametrize("step", ("save_onnx", "write_sums", "_write_goldens"))
    def test_a_disk_that_fills_up(
        self, step: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SetupError when any file of the bundle finds no room."""

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(pipeline, step, full)

        self.assert_fails(tiny_checkpoint, tmp_path, SetupError, "No room on the disk")

    def test_a_graph_that_departs(self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """ParityError names the first stage that departs when one weight of the file is wrong."""
        monkeypatch.setattr(pipeline, "save_onnx", spoil("backbone.layers.2.adapter.outer.bias", 0.05))

        self.assert_fails(tiny_checkpoint, tmp_path, ParityError, r"first stage that departs is backbone\.layers\.2\.")

    def test_a_wrong_scan(self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """ParityError for an error as small as a scan's decay that is off by five percent."""
        monkeypatch.setattr(pipeline, "save_onnx", spoil("aggregation.blocks.0.inter.scans.A", 0.0, 1.05))

        self.assert_fails(tiny_checkpoint, tmp_path, ParityError, r"departs is aggregation\.blocks\.0\.inter")

    def test_a_limit_that_is_too_tight(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """ParityError with the numbers when the limit is below what float16 can do."""
        self.assert_fails(tiny_checkpoint, tmp_path, ParityError, "limit 1e-12", precision="fp16", limit=1e-12)

    @pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
    def test_an_interrupt(self, number: int, tiny_checkpoint: Path, tmp_path: Path) -> None:
        """Ctrl-C and SIGTERM in the middle leave nothing and end with their own exit codes."""
        command = [sys.executable, "-m", "mambapro", "export", "--ckpt", str(tiny_checkpoint)]
        process = subprocess.Popen([*command, "--output", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        assert list(tmp_path.iterdir()), "the export never began to write"

        process.send_signal(number)
        _, said = process.communicate(timeout=60)

        assert process.returncode == 128 + number
        assert "Traceback" not in said
        assert list(tmp_path.iterdir()) == []


def spoil(tensor: str, add: float, factor: float = 1.0) -> Callable[[onnx.ModelProto, Path], None]:
    """A save_onnx that changes one initializer on the way."""

    def save(model: onnx.ModelProto, path: Path) -> None:
        (found,) = [initializer for initializer in model.graph.initializer if initializer.name == tensor]
        value = numpy_helper.to_array(found) * np.float32(factor) + np.float32(add)
        found.CopyFrom(numpy_helper.from_array(value, tensor))
        onnx.save_model(model, path)

    return save


class TestGate:
    def report(self, **changes: Any) -> ParityReport:
        """A report of one set of sensors."""
        values = {
            "sensors": "rgb+nir+tir",
            "samples": 32,
            "max_departure": 1e-10,
            "mean_departure": 1e-11,
            "max_difference": 1e-5,
            "rank_agreement": 1.0,
            "constant": 0,
            "not_finite": 0,
        }
        return ParityReport("fp32", 1e-8, "drawn", "CPU", 192, (SubsetParity(**{**values, **changes}),))

    def test_passes_within_the_limit(self) -> None:
        """Nothing is raised for a report within the limit, up to the limit itself."""
        for departure in (0.0, 1e-8):
            report = self.report(max_departure=departure)

            assert report.passed
            require_parity(report, None)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"max_departure": 2e-8}, "largest 1 - cosine"),
            ({"max_departure": float("nan")}, "largest 1 - cosine"),
            ({"not_finite": 1, "max_departure": float("nan")}, "not finite"),
            ({"constant": 192}, "same feature for every image"),
        ],
    )
    def test_refuses(self, changes: dict, message: str) -> None:
        """ParityError for departures, NaN, and a model that says the same of every image."""
        with pytest.raises(ParityError, match=message):
            require_parity(self.report(**changes), None)

    def test_report_is_json(self, exports: dict) -> None:
        """parity.json holds the limit, the verdict and every set of sensors."""
        stored = json.loads((exports["fp16"].bundle / "parity.json").read_text())

        assert stored["limit"] == LIMITS["fp16"]
        assert stored["passed"] is True
        assert len(stored["subsets"]) == 7


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"precision": "fp8"}, "fp32, fp16"),
            ({"limit": 0.0}, "between 0 and 2"),
            ({"dataset": "market1501"}, "rgbnt201"),
        ],
    )
    def test_impossible_ones_are_refused(self, options: dict, message: str, tiny_checkpoint: Path) -> None:
        """InputError that names what is allowed."""
        with pytest.raises(InputError, match=message):
            ExportOptions(tiny_checkpoint, **options)

    @pytest.mark.parametrize("name", (".", "", "none.pth", "x" * 300 + ".pth"))
    def test_a_checkpoint_that_is_no_file(self, name: str) -> None:
        """InputError for a folder, nothing, and a name no file system takes."""
        with pytest.raises(InputError, match=r"No checkpoint at|\. is a folder"):
            ExportOptions(Path(name))

    def test_a_bundle_for_a_checkpoint(self, tmp_path: Path) -> None:
        """InputError that names it as what it is."""
        bundle = tmp_path / "x.mambapro"
        bundle.mkdir()
        for name in ("metadata.json", "SHA256SUMS"):
            (bundle / name).touch()

        with pytest.raises(InputError, match="is a bundle, which was exported from a checkpoint"):
            ExportOptions(bundle)

    def test_data_needs_a_dataset(self, tiny_checkpoint: Path) -> None:
        """InputError when a folder is given without the benchmark's name."""
        with pytest.raises(InputError, match="--dataset"):
            export_bundle(ExportOptions(tiny_checkpoint, data=os.devnull))


def test_incomplete_sets_see_every_camera() -> None:
    """The samples of an incomplete set of sensors come from all cameras of a drawn benchmark, the unknown one too."""
    images = parity_images(Preprocessing(64, 32, (0.5,) * 3, (0.5,) * 3), 4, None, None)

    batches = batches_of_subsets(images)

    assert [len(batch.samples) for batch in batches] == [32, *[8] * 6]
    assert all(set(batch.samples.cameras) == {-1, 0, 1, 2, 3} for batch in batches)
    assert all(not batch.samples.images["nir"].any() for batch in batches if "nir" not in batch.subset)
