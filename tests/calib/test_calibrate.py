"""Calibration as a whole: what it sees, that nothing about it is left to chance, and what it refuses."""

from __future__ import annotations

import json
import logging
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib import calibrate as module
from mambapro.calib import memory, ranges
from mambapro.calib.batches import Feeds
from mambapro.calib.calibrate import CalibrationOptions, calibrate
from mambapro.calib.images import CalibrationImages
from mambapro.calib.ranges import groups_of, session_with
from mambapro.calib.statistics import TensorStatistics, tensors_of
from mambapro.common.progress import silent
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.graph.layers import points
from mambapro.graph.scales import ScaleTable
from mambapro.graph.smooth import foldable_norms
from mambapro.runtime.bundle.metadata import BundleMetadata
from onnx import numpy_helper

#: Calibrates with what stands in the files it is given, and says each batch before it is run.
CHILD = """
import json, sys, time
from pathlib import Path
from mambapro.calib.calibrate import CalibrationOptions, calibrate
from mambapro.calib.images import calibration_images
from mambapro.runtime.bundle.metadata import BundleMetadata
from mambapro.common.progress import silent
model, metadata, folder, cache = map(Path, sys.argv[1:])
def track(items, description, total=None):
    for item in items:
        if description == "Calibrating":
            print(item, flush=True)
            time.sleep(0.03)
        yield item
given = BundleMetadata.from_json(json.loads(metadata.read_text()))
images = calibration_images(folder, given.preprocessing, count=12, camera_pattern=r"cam(\\d)", first_camera=1)
calibrate(model, given, images, CalibrationOptions(batch=1, save_seconds=0), cache, track)
"""


def with_batch_of_one(images: CalibrationImages, model_file: Path, metadata: BundleMetadata) -> ScaleTable:
    """What the child makes when nobody disturbs it."""
    return calibrate(model_file, metadata, images, CalibrationOptions(batch=1)).table


class TestWhatItSees:
    def test_ranges_are_those_of_the_tensors(
        self, table: ScaleTable, model_file: Path, tiny_metadata: BundleMetadata, few_images: CalibrationImages
    ) -> None:
        """Smallest and largest value, the maxima by sensor and by channel are NumPy's, over all but the held images."""
        model = onnx.load(model_file)
        found = points(model)
        tensors = tensors_of(model, found, foldable_norms(model, found), None)
        used = [image for i, image in enumerate(few_images.images) if i not in module._held(12)]
        feeds = Feeds(used, tiny_metadata, 2)
        with session_with(model, tensors) as backend:
            runs = [backend.run(feeds[i]) for i in range(len(feeds))]

        name = {m: t.name for t in tensors for m in t.modules}
        hidden = [np.abs(run[name["backbone.layers.1.mlp.inner"]]) for run in runs]
        inner = np.concatenate([values.reshape(3, -1) for values in hidden], axis=1)
        seen = table.of("backbone.layers.1.mlp.inner").observed
        np.testing.assert_allclose(list(seen.modalities.values()), inner.max(axis=1), rtol=1e-6)
        channels = np.concatenate([values.reshape(-1, values.shape[-1]) for values in hidden])
        np.testing.assert_allclose(seen.channels, channels.max(axis=0), rtol=1e-6)
        nir = np.concatenate([run[name["aggregation.blocks.0.intra.in_proj.nir"]] for run in runs])
        seen = table.of("aggregation.blocks.0.intra.in_proj.nir").observed
        assert (seen.low, seen.high) == pytest.approx((nir.min(), nir.max()))
        assert list(seen.modalities) == ["nir"] and seen.channels == ()

    def test_every_layer_has_a_measured_scale(self, table: ScaleTable, graphs: dict[str, onnx.ModelProto]) -> None:
        """The table knows each point; auto took one within 10 percent of the best, or smoothing."""
        assert set(table.modules) == {point.module for point in points(graphs["fp32"])}
        for entry in table.activations:
            least = min(entry.errors.values())
            assert set(entry.errors) == {"minmax", "percentile", "mse", "entropy"}
            assert entry.error is not None and entry.error <= least / 0.9
            assert 0 < entry.error < 0.2

    def test_passes_by_memory(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        table: ScaleTable,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With room for a few tensors at a time several passes find the ranges that one pass finds."""
        model = onnx.load(model_file)
        found = points(model)
        tensors = tensors_of(model, found, foldable_norms(model, found), None)
        most = 4 * sum(tensor.values for tensor in tensors)
        monkeypatch.setattr(ranges, "_MOST_OUTPUTS", most)
        assert 2 <= len(groups_of(tensors, 2, 1)) <= 4

        result = calibrate(model_file, tiny_metadata, few_images).table

        for one, other in zip(table.activations, result.activations, strict=True):
            assert one.observed.absmax == pytest.approx(other.observed.absmax, rel=1e-4)

    def test_rows_do_not_depend_on_memory(
        self, graphs: dict[str, onnx.ModelProto], tiny_metadata: BundleMetadata, few_images: CalibrationImages
    ) -> None:
        """The rows that errors are measured on are those of a tensor, whichever tensors share its pass."""
        model = graphs["fp32"]
        found = points(model)
        tensors = [t for t in tensors_of(model, found, (), None) if t.modules[0].startswith("backbone.layers")][:3]
        feeds = Feeds(few_images.images[:2], tiny_metadata, 2)
        measurement = module._Measurement(model, found, feeds, CalibrationOptions(), silent)

        together = measurement._rows(tensors)
        alone = measurement._rows(tensors[2:])

        name = tensors[2].name
        assert len(alone[name]) > 6 and list(alone) == [name]
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-4, atol=1e-5)

    def test_a_fixed_batch(
        self, model_file: Path, tiny_metadata: BundleMetadata, few_images: CalibrationImages
    ) -> None:
        """A model of fixed batch gets full batches only, the last one filled up with the first images."""
        fixed = replace(
            tiny_metadata,
            inputs=tuple(replace(t, shape=(5, *t.shape[1:])) for t in tiny_metadata.inputs),
            outputs=tuple(replace(t, shape=(5, *t.shape[1:])) for t in tiny_metadata.outputs),
        )
        feeds = Feeds(few_images.images, fixed, 2)

        assert [len(feed["rgb"]) for feed in feeds] == [5, 5, 5]
        np.testing.assert_array_equal(feeds[2]["rgb"][2:], feeds[0]["rgb"][:3])
        np.testing.assert_array_equal(feeds[2]["camera"][2:], feeds[0]["camera"][:3])


class TestAgain:
    def test_killed_at_random(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        image_folder: Path,
        tmp_path: Path,
    ) -> None:
        """Killed six times at random moments and taken up each time, the table is that of an undisturbed run."""
        described = tmp_path / "metadata.json"
        described.write_text(json.dumps(tiny_metadata.to_json()))
        arguments = [
            sys.executable,
            "-c",
            CHILD,
            str(model_file),
            str(described),
            str(image_folder),
            str(tmp_path / "c"),
        ]
        chance = random.Random(11)
        firsts = []
        for _ in range(6):
            child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(chance.randint(1, 3))]
            try:
                child.wait(chance.uniform(0, 0.04))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            firsts.append(lines[0].strip())

        resumed = calibrate(
            model_file, tiny_metadata, few_images, CalibrationOptions(batch=1, save_seconds=0), tmp_path / "c"
        )

        assert not resumed.cached
        assert resumed.table == with_batch_of_one(few_images, model_file, tiny_metadata)
        assert any(first not in ("0", "") for first in firsts), firsts

    def test_the_cache(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        table: ScaleTable,
    ) -> None:
        """A second run takes the table; another algorithm takes the statistics; another image makes both anew."""
        first = calibrate(model_file, tiny_metadata, few_images, cache=tmp_path)
        again = calibrate(model_file, tiny_metadata, few_images, cache=tmp_path)
        assert not first.cached and again.cached and first.table == again.table == table

        monkeypatch.setattr(ranges, "session_with", lambda *_: pytest.fail("the images were run again"))
        minmax = calibrate(model_file, tiny_metadata, few_images, CalibrationOptions("minmax"), tmp_path)
        assert not minmax.cached
        assert all(
            entry.threshold == entry.observed.absmax for entry in minmax.table.activations if not entry.smoothing
        )
        other = replace(few_images, images=few_images.images[1:], hashes=few_images.hashes[1:])
        with pytest.raises(pytest.fail.Exception, match="run again"):
            calibrate(model_file, tiny_metadata, other, cache=tmp_path)

    def test_a_damaged_cache(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        table: ScaleTable,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Files that cannot be read are said and made anew, never used."""
        calibrate(model_file, tiny_metadata, few_images, cache=tmp_path)
        (scales,), (statistics,) = tmp_path.glob("scales-*.json"), tmp_path.glob("statistics-*.npz")
        scales.write_text("{")
        content = statistics.read_bytes()
        statistics.write_bytes(content[: len(content) // 2])

        with caplog.at_level(logging.WARNING, "mambapro"):
            result = calibrate(model_file, tiny_metadata, few_images, cache=tmp_path)

        assert result.table == table and not result.cached
        assert "Calibrating anew" in caplog.text and "starting anew" in caplog.text


class TestRefused:
    def test_float16(
        self,
        graphs: dict[str, onnx.ModelProto],
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        tmp_path: Path,
    ) -> None:
        """Ranges are taken from the float32 model, and the message says so."""
        onnx.save_model(graphs["fp16"], tmp_path / "half.onnx")

        with pytest.raises(ArtifactError, match="Calibrate the float32 bundle"):
            calibrate(tmp_path / "half.onnx", tiny_metadata, few_images)

    def test_nan(
        self,
        graphs: dict[str, onnx.ModelProto],
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        tmp_path: Path,
    ) -> None:
        """A NaN in a weight is found where it first comes out, by the layer's name."""
        broken = onnx.ModelProto()
        broken.CopyFrom(graphs["fp32"])
        tensor = next(t for t in broken.graph.initializer if t.name == "backbone.layers.1.ln_2.weight")
        value = numpy_helper.to_array(tensor).copy()
        value[5] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        onnx.save_model(broken, tmp_path / "nan.onnx")

        with pytest.raises(ArtifactError, match=r"input of backbone.layers.1.mlp.inner holds NaN or infinity"):
            calibrate(tmp_path / "nan.onnx", tiny_metadata, few_images, cache=tmp_path)
        assert not list(tmp_path.glob("scales-*"))

    def test_everything_constant(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A model none of whose layers gets anything but constants is not calibrated."""
        monkeypatch.setattr(TensorStatistics, "constant", True)

        with pytest.raises(ArtifactError, match="all layers are constant"):
            calibrate(model_file, tiny_metadata, few_images)

    def test_not_enough_memory(
        self,
        model_file: Path,
        tiny_metadata: BundleMetadata,
        few_images: CalibrationImages,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Said before the model is loaded."""
        monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
        monkeypatch.setattr(module, "load_model", lambda _: pytest.fail("the model was loaded"))

        with pytest.raises(SetupError, match=r"needs about .* GiB of memory; 0.0 GiB are available"):
            calibrate(model_file, tiny_metadata, few_images)

    def test_not_a_model(self, tiny_metadata: BundleMetadata, few_images: CalibrationImages, tmp_path: Path) -> None:
        """A file of another kind, or none."""
        (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)

        with pytest.raises(ArtifactError, match="is not an ONNX file"):
            calibrate(tmp_path / "m.onnx", tiny_metadata, few_images)
        with pytest.raises(InputError, match="no model file"):
            calibrate(tmp_path / "nothing.onnx", tiny_metadata, few_images)

    @pytest.mark.parametrize("wrong", [{"algorithm": "kl"}, {"percentile": 40.0}, {"percentile": 101.0}, {"batch": 0}])
    def test_options(self, wrong: dict) -> None:
        """Values that cannot be meant."""
        with pytest.raises(InputError, match=next(iter(wrong))):
            CalibrationOptions(**wrong)
