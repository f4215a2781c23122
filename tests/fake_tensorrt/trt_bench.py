"""A fake GPU with a fake TensorRT and engines of a small model on it, for the tests of what runs them."""

from __future__ import annotations

import numpy as np
from fake_cuda import FakeDriver
from fake_trt import computed, fake_tensorrt, plan
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.selective_scan.tensorrt import registration
from mambapro.plugins.tensorrt import importing
from mambapro.runtime.backends.tensorrt.backend import TensorRtBackend
from mambapro.runtime.bundle.artifact import Build, EngineNeeds, Plugin, Sidecar

GENERATIONS = ("10.3", "10.12", "11.4", "rtx")
IMAGES = ("rgb", "nir", "tir")
INPUTS = {
    **dict.fromkeys(IMAGES, ("UINT8", (-1, 4, 3, 3))),
    "camera": ("INT64", (-1,)),
    "modality_mask": ("FLOAT", (-1, 3)),
}
OUTPUTS = {"embedding": ("FLOAT", (-1, 5))}


class Bench:
    """A fake GPU with a fake TensorRT, and engines on it."""

    def __init__(self, generation, folder, monkeypatch, driver=None, version=None):
        self.driver = driver or FakeDriver()
        self.trt = fake_tensorrt(generation, self.driver, version)
        self.rtx, self.folder = generation == "rtx", folder
        monkeypatch.setenv("MAMBAPRO_CACHE", str(folder / "cache"))
        monkeypatch.setattr(cuda_driver, "library", lambda: self.driver)
        monkeypatch.setattr(importing, "import_module", lambda name: self.trt)
        monkeypatch.setattr(registration, "_REGISTERED", {})

    def sidecar(self, plugin=None, version_compatible=False):
        needs = EngineNeeds(
            self.trt.__version__, ("8.6",), "same", version_compatible, "linux-x86_64", plugin or Plugin("none")
        )
        target = "tensorrt-rtx" if self.rtx else "tensorrt"
        return Sidecar(
            "x.engine", target, "fp16", "verified", "0" * 64, "x.onnx", Build(1.0, 2), 1e-4, 0.005, engine=needs
        )

    def open(self, content=None, plugin=None, version_compatible=False, **options):
        path = self.folder / "x.engine"
        path.write_bytes(plan(INPUTS, OUTPUTS) if content is None else content)
        return TensorRtBackend(path, self.sidecar(plugin, version_compatible), **options)


def feeds(samples, seed=0):
    """Inputs that differ in every sample."""
    rng = np.random.default_rng(100 * seed + samples)
    images = {name: rng.integers(0, 256, (samples, 4, 3, 3)).astype(np.uint8) for name in IMAGES}
    return {**images, "camera": rng.integers(0, 9, samples), "modality_mask": rng.random((samples, 3), np.float32)}


def assert_right(backend, samples, seed=0):
    """What the backend returns is the engine's answer to these inputs."""
    given = feeds(samples, seed)
    wanted = computed(given, "embedding", np.float32, (5,))
    np.testing.assert_array_equal(backend.run(given)["embedding"], wanted)
