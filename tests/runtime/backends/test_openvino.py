"""OpenVinoBackend: ONNX Runtime's numbers in every mode, and no input taken that is not the model's."""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
import pytest
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.plugins.selective_scan.openvino import extension
from mambapro.runtime.backends import openvino as module
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.backends.openvino import OpenVinoBackend
from mambapro.runtime.environment import identity_model


@pytest.fixture(scope="module")
def reference(tiny_onnx):
    """Embeddings of ONNX Runtime."""
    backend = OnnxRuntimeBackend(tiny_onnx, device="cpu", threads=1)
    return lambda feeds: backend.run(feeds)["embedding"]


@pytest.fixture(scope="module")
def throughput(tiny_onnx):
    """A backend of two streams or more."""
    return OpenVinoBackend(tiny_onnx, mode="throughput", threads=2)


def largest_departure(found, wanted):
    """The largest 1 - cosine of rows."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float((1 - (found.astype(np.float64) * wanted).sum(axis=1) / lengths).max())


class TestNumbers:
    def test_latency_mode_returns_the_models_numbers(self, tiny_onnx, tiny_feeds, reference):
        """float32 under the hint f32; the provider is OpenVINO's own word, one stream."""
        backend = OpenVinoBackend(tiny_onnx, threads=1)

        found = backend.run(tiny_feeds(3))

        assert (backend.provider, backend.streams, backend.precision, backend.threads) == ("CPU", 1, "f32", 1)
        assert backend.inputs == ("rgb", "nir", "tir", "camera", "modality_mask")
        assert list(found) == ["embedding"]
        np.testing.assert_allclose(found["embedding"], reference(tiny_feeds(3)), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("samples", [1, 2, 5, 8])
    def test_throughput_mode_keeps_the_order(self, throughput, tiny_feeds, reference, samples):
        """A batch cut over streams comes back in its order, also where it does not divide."""
        assert throughput.streams >= 2

        found = throughput.run(tiny_feeds(samples))["embedding"]

        np.testing.assert_allclose(found, reference(tiny_feeds(samples)), rtol=1e-4, atol=1e-4)

    def test_bf16_is_close_and_not_float32(self, tiny_onnx, tiny_feeds, reference):
        """The hint changes what is computed, within what bfloat16 allows."""
        offered = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "BF16" not in offered:
            pytest.skip("this processor has no bfloat16 for OpenVINO")
        backend = OpenVinoBackend(tiny_onnx, hint="bf16", threads=1)

        departure = largest_departure(backend.run(tiny_feeds(8))["embedding"], reference(tiny_feeds(8)))

        assert backend.precision == "bf16"
        assert 1e-8 < departure < 1e-2

    def test_results_are_copies(self, tiny_onnx, tiny_feeds):
        """A later run does not change what an earlier one returned."""
        backend = OpenVinoBackend(tiny_onnx, threads=1)
        first = backend.run(tiny_feeds(2))["embedding"]
        kept = first.copy()

        backend.run({name: value[::-1].copy() for name, value in tiny_feeds(2).items()})

        np.testing.assert_array_equal(first, kept)

    def test_strided_inputs_are_read_right(self, tiny_onnx, tiny_feeds):
        """A view of an array counts as its values, whatever its layout in memory."""
        backend = OpenVinoBackend(tiny_onnx, threads=1)
        feeds = tiny_feeds(4)

        found = backend.run({name: np.repeat(value, 2, axis=0)[::2] for name, value in feeds.items()})

        np.testing.assert_array_equal(found["embedding"], backend.run(feeds)["embedding"])

    @pytest.mark.parametrize("mode", ["latency", "throughput"])
    def test_threads_do_not_disturb_each_other(self, tiny_onnx, tiny_feeds, mode):
        """Several threads at once, each with its own batch, get their own results."""
        backend = OpenVinoBackend(tiny_onnx, mode=mode, threads=2)
        sizes = [1, 2, 3, 4] * 5
        wanted = {size: backend.run(tiny_feeds(size))["embedding"] for size in set(sizes)}

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda size: backend.run(tiny_feeds(size))["embedding"], sizes))

        for size, embedding in zip(sizes, found, strict=True):
            np.testing.assert_allclose(embedding, wanted[size], rtol=1e-5, atol=1e-5)

    def test_inlined_scans_are_never_in_bf16(self, tiny_onnx, tiny_feeds, reference, monkeypatch, caplog):
        """Where the extension cannot be compiled float32 is used, with a warning: the scan's state adds up."""
        monkeypatch.setattr(
            extension, "build", lambda: (_ for _ in ()).throw(SetupError("no C++ compiler found for this test"))
        )

        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OpenVinoBackend(tiny_onnx, hint="bf16", threads=1)

        assert backend.precision == "f32" and "cannot be compiled" in str(backend.why_precision)
        assert "computes in f32, not in bf16 as asked" in caplog.text
        found = backend.run(tiny_feeds(2))["embedding"]
        np.testing.assert_allclose(found, reference(tiny_feeds(2)), rtol=1e-4, atol=1e-4)


class TestCache:
    def test_second_start_comes_from_the_cache(self, tiny_onnx, tiny_feeds, tmp_path):
        """The compiled model, extension and all, is found again and returns the same numbers."""
        first = OpenVinoBackend(tiny_onnx, threads=1, cache=tmp_path / "deep" / "cache")
        second = OpenVinoBackend(tiny_onnx, threads=1, cache=tmp_path / "deep" / "cache")

        assert (first.from_cache, second.from_cache) == (False, True)
        np.testing.assert_array_equal(first.run(tiny_feeds(2))["embedding"], second.run(tiny_feeds(2))["embedding"])

    def test_damaged_cache_is_made_again(self, tiny_onnx, tiny_feeds, tmp_path):
        """A blob cut short is not loaded."""
        wanted = OpenVinoBackend(tiny_onnx, threads=1, cache=tmp_path).run(tiny_feeds(2))["embedding"]
        (blob,) = tmp_path.glob("*.blob")
        blob.chmod(0o600)
        os.truncate(blob, blob.stat().st_size // 2)

        backend = OpenVinoBackend(tiny_onnx, threads=1, cache=tmp_path)

        assert not backend.from_cache
        np.testing.assert_array_equal(backend.run(tiny_feeds(2))["embedding"], wanted)

    def test_cache_that_is_a_file_is_an_input_error(self, tmp_path):
        """InputError names it."""
        (tmp_path / "cache").touch()

        with pytest.raises(InputError, match="cache"):
            OpenVinoBackend(identity_model(), cache=tmp_path / "cache")


class TestBadInput:
    def test_unknown_choices_are_input_errors(self):
        """InputError names what is allowed."""
        for given, allowed in (({"hint": "int8"}, "f32, bf16, f16"), ({"mode": "fast"}, "latency, throughput")):
            with pytest.raises(InputError, match=allowed):
                OpenVinoBackend(identity_model(), **given)
        with pytest.raises(InputError, match="at least 1"):
            OpenVinoBackend(identity_model(), threads=0)

    def test_missing_package_is_a_setup_error(self, monkeypatch):
        """SetupError says what to install."""
        monkeypatch.setitem(sys.modules, "openvino", None)

        with pytest.raises(SetupError, match=r"mambapro\[openvino\]"):
            OpenVinoBackend(identity_model())

    def test_missing_file_is_an_artifact_error(self, tmp_path):
        """ArtifactError names the path."""
        with pytest.raises(ArtifactError, match=r"no model file .*model\.onnx"):
            OpenVinoBackend(tmp_path / "model.onnx")

    def test_damaged_file_is_an_artifact_error(self, tiny_onnx, tmp_path):
        """ArtifactError names the file and the version."""
        path = tmp_path / "model.onnx"
        path.write_bytes(tiny_onnx.read_bytes()[:100_000])

        with pytest.raises(ArtifactError, match=r"cannot read .*model\.onnx"):
            OpenVinoBackend(path)

    @pytest.mark.parametrize(
        "change",
        [
            {"rgb": np.zeros((2, 64, 32, 3), np.float32)},
            {"rgb": np.zeros((2, 64, 33, 3), np.uint8)},
            {"rgb": np.zeros((2, 64, 32), np.uint8)},
            {"rgb": np.zeros((3, 64, 32, 3), np.uint8)},
            {"depth": np.zeros((2, 64, 32, 3), np.uint8)},
            {"rgb": None},
        ],
        ids=["type", "size", "rank", "samples", "surplus", "missing"],
    )
    def test_wrong_feeds_are_artifact_errors(self, throughput, tiny_feeds, change):
        """What OpenVINO would cast, resize or fill with the last call's value is refused, by name."""
        feeds = {name: value for name, value in {**tiny_feeds(2), **change}.items() if value is not None}

        with pytest.raises(ArtifactError, match=next(iter(change))):
            throughput.run(feeds)

    def test_empty_batch_is_an_artifact_error(self, throughput, tiny_feeds):
        """No samples, no run."""
        with pytest.raises(ArtifactError, match="1 or more"):
            throughput.run(tiny_feeds(0))

    def test_closed_backend_says_so(self, tiny_onnx, tiny_feeds):
        """InputError after close; closing twice is fine."""
        backend = OpenVinoBackend(tiny_onnx, threads=1)
        backend.run(tiny_feeds(1))
        backend.close()
        backend.close()

        with pytest.raises(InputError, match="closed"):
            backend.run(tiny_feeds(1))

    def test_close_during_a_run_keeps_nothing(self, tiny_onnx, tiny_feeds, monkeypatch):
        """The run ends well, and its request does not keep the closed model alive."""
        backend = OpenVinoBackend(tiny_onnx, threads=1)
        wanted, real = backend.run(tiny_feeds(2))["embedding"], module._run_all

        def closing(requests, parts):
            backend.close()
            real(requests, parts)

        monkeypatch.setattr(module, "_run_all", closing)

        np.testing.assert_array_equal(backend.run(tiny_feeds(2))["embedding"], wanted)
        assert backend._idle == []


class TestOpenVinosWays:
    def test_another_precision_than_asked_is_told(self, monkeypatch, caplog):
        """Where OpenVINO computes in another type, a warning says which and what the processor offers."""
        monkeypatch.setattr(module, "_precision", lambda library, compiled: "f32")

        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OpenVinoBackend(identity_model(), hint="bf16")

        assert backend.precision == "f32"
        assert "computes in f32, not in bf16 as asked" in caplog.text
        assert "FP32" in caplog.text

    def test_f16_without_hardware_is_told(self, caplog):
        """OpenVINO takes another type by itself where the processor has no float16: the warning is not missed."""
        if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor has float16 for OpenVINO")

        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OpenVinoBackend(identity_model(), hint="f16")

        assert backend.precision != "f16"
        assert "not in f16 as asked" in caplog.text

    def test_without_the_extension_the_numbers_stay(self, tiny_onnx, tiny_feeds, reference, monkeypatch, caplog):
        """Where no compiler is found the scan is the function of the file, with a warning."""

        def refuse():
            raise SetupError("no C++ compiler")

        monkeypatch.setattr(extension, "build", refuse)
        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OpenVinoBackend(tiny_onnx, threads=1)

        found = backend.run(tiny_feeds(3))["embedding"]

        assert "no C++ compiler" in caplog.text
        np.testing.assert_allclose(found, reference(tiny_feeds(3)), rtol=1e-3, atol=1e-3)

    def test_failed_part_ends_the_run_and_not_the_backend(self, throughput, tiny_feeds, reference, monkeypatch):
        """SetupError with OpenVINO's words; no request is left running, and the next run is right."""
        real = throughput._borrow
        waited = []

        class Failing:
            def __init__(self, request):
                self.request = request

            def start_async(self, part):
                self.request.start_async(part)

            def wait(self):
                waited.append(self)
                self.request.wait()
                raise RuntimeError("Exception from there\nout of memory\n")

        monkeypatch.setattr(throughput, "_borrow", lambda: Failing(real()))
        with pytest.raises(SetupError, match=r"batch of 4: out of memory\. Where"):
            throughput.run(tiny_feeds(4))
        monkeypatch.undo()

        assert len(waited) == throughput.streams
        np.testing.assert_allclose(
            throughput.run(tiny_feeds(4))["embedding"], reference(tiny_feeds(4)), rtol=1e-4, atol=1e-4
        )
