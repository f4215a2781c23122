"""OnnxRuntimeBackend: the provider is asserted, and what cannot be loaded is named."""

from __future__ import annotations

import logging
import sys
import types

import numpy as np
import onnx
import onnxruntime
import pytest
from mambapro.common.machine.cpus import usable_cpus
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.plugins.cuda.memory import Gpu
from mambapro.runtime.backends import onnxruntime as backend_module
from mambapro.runtime.backends import onnxruntime as module
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.environment import identity_model

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def no_gpu():
    """A machine without driver."""
    raise SetupError("no NVIDIA driver for this test")


@pytest.fixture
def cuda_on_paper(monkeypatch):
    """A GPU and an ONNX Runtime that offers CUDA, but whose sessions end up on the CPU, as without cuDNN."""
    real = onnxruntime.InferenceSession
    asked = []

    def session(model, options, providers, **more):
        asked.append((list(providers), more))
        return real(model, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(module, "gpu", lambda: Gpu("a GPU", "8.6"))
    return asked


class TestProvider:
    def test_cpu_runs_on_the_cpu(self):
        """The provider is reported in ONNX Runtime's words, and the model runs."""
        backend = OnnxRuntimeBackend(identity_model(), device="cpu", threads=1)

        found = backend.run({"x": np.array([2.5], np.float32)})

        assert (backend.provider, backend.inputs, backend.outputs) == (CPU, ("x",), ("y",))
        assert found["y"] == 2.5

    @pytest.mark.parametrize("device", ["cuda", "auto"])
    def test_silent_fall_to_the_cpu_is_a_setup_error(self, cuda_on_paper, device):
        """SetupError says what was asked, what was got, what to install and how to allow it."""
        with pytest.raises(SetupError) as caught:
            OnnxRuntimeBackend(identity_model(), device=device)

        text = str(caught.value)
        assert f"on {CPU}, not on {CUDA}" in text
        assert "mambapro[gpu]" in text and 'device="cpu"' in text and "allow_fallback" in text
        # with TF32 the numbers would not be PyTorch's
        assert cuda_on_paper == [([(CUDA, {"use_tf32": "0"}), CPU], {"enable_fallback": 0})]

    def test_libraries_from_wheels_are_loaded_quietly(self, cuda_on_paper, monkeypatch, capsys):
        """CUDA's libraries are loaded before the session is made, for CUDA alone; standard output stays empty."""
        order = []

        def preload():
            order.append(len(cuda_on_paper))
            sys.stdout.write("Failed to load libcudnn.so.9")

        monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)

        OnnxRuntimeBackend(identity_model(), device="cuda", allow_fallback=True)
        OnnxRuntimeBackend(identity_model(), device="cpu")

        assert order == [0]
        assert capsys.readouterr().out == ""

    def test_allowed_fallback_warns(self, cuda_on_paper, caplog):
        """With allow_fallback the model runs on the CPU, and the log says so."""
        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OnnxRuntimeBackend(identity_model(), device="cuda", allow_fallback=True)

        assert backend.provider == CPU
        assert "not on CUDAExecutionProvider" in caplog.text

    def test_cuda_that_is_not_offered_is_a_setup_error(self, monkeypatch):
        """SetupError lists what the installed ONNX Runtime offers."""
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

        with pytest.raises(SetupError, match=f"it offers {CPU}"):
            OnnxRuntimeBackend(identity_model(), device="cuda")

    def test_auto_without_cuda_is_the_cpu(self, monkeypatch):
        """auto does not complain where CUDA is not offered."""
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

        assert OnnxRuntimeBackend(identity_model()).provider == CPU

    def test_auto_without_a_gpu_is_the_cpu(self, cuda_on_paper, monkeypatch, capfd):
        """The package for GPUs offers CUDA everywhere: auto asks the driver, and nothing is said on the terminal."""
        monkeypatch.setattr(module, "gpu", no_gpu)

        backend = OnnxRuntimeBackend(identity_model(), device="auto")

        assert backend.provider == CPU
        assert [providers for providers, _ in cuda_on_paper] == [[CPU]]
        assert capfd.readouterr() == ("", "")

    def test_cuda_without_a_gpu_is_a_setup_error(self, cuda_on_paper, monkeypatch, capfd):
        """Asked for by name it stays an error, which says what the driver says."""
        monkeypatch.setattr(module, "gpu", no_gpu)

        with pytest.raises(SetupError, match="no NVIDIA driver for this test"):
            OnnxRuntimeBackend(identity_model(), device="cuda")

        assert capfd.readouterr() == ("", "")

    def test_what_an_uninstalled_package_left_is_a_setup_error(self, monkeypatch):
        """An empty module: SetupError says how to get a whole one, and so for both packages."""
        monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))

        with pytest.raises(SetupError) as caught:
            OnnxRuntimeBackend(identity_model())

        text = str(caught.value)
        assert "has no InferenceSession" in text
        assert text.index("pip uninstall -y onnxruntime onnxruntime-gpu") < text.index("pip install --force-reinstall")

    def test_cuda_advice_uninstalls_both_packages(self, monkeypatch):
        """They share their files: taking one away breaks the other."""
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])

        with pytest.raises(SetupError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
            OnnxRuntimeBackend(identity_model(), device="cuda")

    def test_missing_onnxruntime_names_the_extras(self, monkeypatch):
        """SetupError says what to install."""
        monkeypatch.setitem(sys.modules, "onnxruntime", None)

        with pytest.raises(SetupError, match=r'pip install "mambapro\[cpu\]", or "mambapro\[gpu\]"'):
            OnnxRuntimeBackend(identity_model())


class TestBadInput:
    @pytest.mark.parametrize("device", ["gpu", "CPU", ""])
    def test_unknown_device_is_refused(self, device):
        """InputError lists the devices."""
        with pytest.raises(InputError, match="auto, cpu, cuda"):
            OnnxRuntimeBackend(identity_model(), device=device)

    def test_no_threads_are_refused(self):
        """InputError for a thread count below 1."""
        with pytest.raises(InputError, match="threads"):
            OnnxRuntimeBackend(identity_model(), threads=0)

    @pytest.mark.parametrize("content", [b"", b"not a model", identity_model()[:40]], ids=["empty", "text", "cut"])
    def test_file_that_is_no_model_is_an_artifact_error(self, tmp_path, content):
        """ArtifactError names the file and ONNX Runtime's version."""
        path = tmp_path / "model.onnx"
        path.write_bytes(content)

        with pytest.raises(ArtifactError, match=rf"{onnxruntime.__version__} cannot load .*model\.onnx"):
            OnnxRuntimeBackend(path, device="cpu")

    def test_missing_file_is_an_artifact_error(self, tmp_path):
        """ArtifactError names the path."""
        with pytest.raises(ArtifactError, match="no model file"):
            OnnxRuntimeBackend(tmp_path / "model.onnx")

    def test_wrong_feed_is_an_artifact_error(self):
        """ArtifactError when the graph refuses what the metadata promised."""
        backend = OnnxRuntimeBackend(identity_model(), device="cpu")

        with pytest.raises(ArtifactError, match="refuses its inputs"):
            backend.run({"x": np.zeros((2, 2), np.float32)})


def test_library_prints_nothing_of_the_model(capfd):
    """A name in the model that acts on a terminal is told by the error alone, which can be printed."""
    node = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"], name="evil\x1b[2J")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [value("x", onnx.TensorProto.FLOAT, ["n"])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [1], [7])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    backend = OnnxRuntimeBackend(model.SerializeToString(), device="cpu", threads=1)

    with pytest.raises(SetupError) as raised:
        backend.run({"x": np.zeros(5, np.float32)})

    assert "evil\\x1b[2J" in str(raised.value)
    assert "evil" not in capfd.readouterr().err


class TestThreads:
    @pytest.mark.parametrize("spinning", [False, True])
    def test_idle_threads_do_not_spin_unless_told(self, monkeypatch, spinning):
        """A waiting thread that loops costs a good part of a processor at a few calls a second."""
        given = {}
        real = onnxruntime.InferenceSession

        def session(model, options, **more):
            for kind in ("intra", "inter"):
                given[kind] = options.get_session_config_entry(f"session.{kind}_op.allow_spinning")
            return real(model, options, **more)

        monkeypatch.setattr(onnxruntime, "InferenceSession", session)

        OnnxRuntimeBackend(identity_model(), device="cpu", **({"spinning": True} if spinning else {}))

        assert given == dict.fromkeys(("intra", "inter"), "1" if spinning else "0")

    def test_no_more_threads_than_processors(self, caplog):
        """More are cut down, with a warning that says to how many."""
        with caplog.at_level(logging.WARNING, "mambapro"):
            backend = OnnxRuntimeBackend(identity_model(), device="cpu", threads=5000)

        assert backend.threads == usable_cpus()
        assert "5000 threads were asked for" in caplog.text and f"takes {usable_cpus()}" in caplog.text


def test_denormal_numbers_count_as_zero() -> None:
    """Sessions are asked to flush them: a scan that has decayed would be a hundred times slower."""
    options = backend_module._options(backend_module.import_onnxruntime(), 1, (), False)

    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
