"""The verdict on an artifact, by table: fit, rebuild or refuse, with the reason in words."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cuda import FakeDriver
from fake_trt import fake_tensorrt
from mambapro.errors import SetupError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.tensorrt import importing
from mambapro.runtime import compatibility as module
from mambapro.runtime import compatibility as verdicts
from mambapro.runtime.bundle.artifact import Build, EngineNeeds, Plugin, Sidecar
from mambapro.runtime.compatibility import FIT, REBUILD, REFUSE, Machine, machine_of, verdict

VERSIONS = {"onnxruntime": "1.31.1", "openvino": "2026.4.1", "tensorrt": "10.12.0.36", "tensorrt-rtx": "1.7.1.116"}
#: What TensorRT-RTX 1.7 builds for.
BUILDS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
MACHINE = Machine("linux-x86_64", "RTX A4000", "8.6", None, VERSIONS, True)
NEEDS = EngineNeeds("10.12.0.36", ("8.6",), "same", False, "linux-x86_64", Plugin("embedded"))
EXTERNAL = Plugin("external", "tensorrt-fp16.so", "2" * 64)
FILES = {"tensorrt-fp16.engine": "1" * 64, "tensorrt-fp16.onnx": "3" * 64, "tensorrt-fp16.so": "2" * 64}


def engine(target="tensorrt", **needs):
    """A sidecar of an engine; `needs` are changes of NEEDS."""
    if target == "tensorrt-rtx":
        needs = {"library": "1.7.1.116", "hardware": "compute-capability", **needs}
    name, made = f"{target}-fp16", replace(NEEDS, **needs)
    return Sidecar(
        f"{name}.engine", target, "fp16", "verified", "1" * 64, f"{name}.onnx", Build(1.0, 2), 1e-4, 0.005, engine=made
    )


def model(target, file="model.onnx"):
    """A sidecar of what is no engine."""
    return Sidecar(file, target, "fp32", "verified", "1" * 64, "model.onnx", Build(1.0, 2), 1e-8, 0.005)


def on(**changes):
    """The machine with changes; `installed` = version of TensorRT, `rtx` = of TensorRT-RTX."""
    versions = dict(VERSIONS)
    for key, target in (("installed", "tensorrt"), ("rtx", "tensorrt-rtx")):
        if key in changes:
            versions[target] = changes.pop(key)
    return replace(MACHINE, versions=versions, **changes)


@pytest.mark.parametrize(
    ("sidecar", "machine", "state", "words"),
    [
        (engine(), MACHINE, FIT, ""),
        (engine(library="10.12.0"), MACHINE, FIT, ""),
        (engine(gpu="RTX A4000"), MACHINE, FIT, ""),
        (engine(gpu="RTX 3090"), MACHINE, REBUILD, "built for the RTX 3090 alone; this is the RTX A4000"),
        (engine(gpu="RTX 3090", hardware="compute-capability"), MACHINE, FIT, ""),
        (engine(), on(installed="10.12.0.37"), REBUILD, "built with tensorrt 10.12.0.36, for it alone"),
        (engine(), on(installed="10.3.0"), REBUILD, "installed is 10.3.0"),
        (engine(), on(installed="11.4.0.106"), REBUILD, "installed is 11.4.0.106"),
        (engine(), on(installed="9.3.0"), REFUSE, "versions from 10.3 to before 12 are supported. Three ways out"),
        (engine(), on(installed="12.0"), REFUSE, "Three ways out"),
        (engine(), on(installed=None), REFUSE, 'not installed: pip install "mambapro[tensorrt]"'),
        (engine(library="10.3.0", version_compatible=True), MACHINE, FIT, ""),
        (engine(library="10.12.0.36", version_compatible=True), on(installed="10.3.0"), REBUILD, "and later ones"),
        (engine(library="10.12.0.36", version_compatible=True), on(installed="11.4.0.106"), REBUILD, "same major"),
        (engine(), on(capability="8.9", gpu="RTX 4000"), REBUILD, "compute capability 8.6; RTX 4000 has 8.9"),
        (engine(compute_capabilities=("8.9", "8.6")), MACHINE, FIT, ""),
        (engine(hardware="ampere+"), on(capability="12.0"), FIT, ""),
        (engine(hardware="ampere+"), on(capability="10.0"), FIT, ""),
        (engine(hardware="ampere+"), on(capability="7.5"), REBUILD, "8.6, and all from 8.0; RTX A4000 has 7.5"),
        (engine(hardware="compute-capability"), on(capability="8.7"), REBUILD, "8.7"),
        (engine(), on(platform="linux-aarch64"), REBUILD, "built for linux-x86_64; this is linux-aarch64"),
        (engine(), on(gpu=None, capability=None, no_gpu="no driver"), REFUSE, "none here (no driver)"),
        (engine(), on(gpu=None, capability=None), REFUSE, "there is none here."),
        (engine(), on(installed="10.3.0", builder=False), REFUSE, "onnx is not installed"),
        (engine("tensorrt-rtx"), MACHINE, FIT, ""),
        (engine("tensorrt-rtx"), on(installed=None), FIT, ""),
        (engine("tensorrt-rtx"), on(rtx="1.8.0"), REBUILD, "tensorrt-rtx 1.7.1.116"),
        (engine("tensorrt-rtx"), on(rtx="1.5.0"), REFUSE, "TensorRT-RTX 1.5.0 is installed; versions from 1.7"),
        (engine("tensorrt-rtx"), on(rtx=None), REFUSE, "mambapro[tensorrt-rtx]"),
        (engine("tensorrt-rtx"), on(capability="8.9"), REBUILD, "8.6; RTX A4000 has 8.9."),
        (
            engine("tensorrt-rtx"),
            on(capability="9.0", rtx_builds=BUILDS),
            REFUSE,
            "7.5, 8.0, 8.6, 8.9, 12.0, 12.1 alone",
        ),
        (engine("tensorrt-rtx"), on(capability="8.7", rtx_builds=BUILDS), REFUSE, "take --target tensorrt"),
        (engine("tensorrt-rtx"), on(capability="10.0", rtx_builds=BUILDS), REFUSE, "building it again does not help"),
        (
            engine("tensorrt-rtx"),
            on(capability="7.5", rtx_builds=BUILDS),
            REFUSE,
            "told --compute-capability 7.5; whole",
        ),
        (
            engine("tensorrt-rtx"),
            on(capability="10.3", rtx_builds=("10.3",)),
            REFUSE,
            "--compute-capability 10.3; else",
        ),
        (engine("tensorrt-rtx", compute_capabilities=("7.5",)), on(capability="7.5", rtx_builds=BUILDS), FIT, ""),
        (
            engine("tensorrt-rtx", compute_capabilities=("7.5",)),
            on(capability="7.5", rtx_builds=BUILDS, rtx="1.8.0"),
            REBUILD,
            "installed is 1.8.0",
        ),
        (engine(), on(capability="9.0", rtx_builds=BUILDS), REBUILD, "RTX A4000 has 9.0."),
        (model("openvino"), on(gpu=None, capability=None), FIT, ""),
        (model("onnxruntime"), replace(MACHINE, versions={}), REFUSE, "mambapro[cpu]"),
    ],
)
def test_machine(sidecar, machine, state, words):
    """What an engine was built for, against what is there."""
    found = verdict(sidecar, machine)

    assert found.state == state
    assert words in str(found)
    assert bool(found.reasons) == (state != FIT)


@pytest.mark.parametrize(
    ("sidecar", "changes", "state", "words"),
    [
        (engine(plugin=EXTERNAL), {}, FIT, ""),
        (engine(), {"tensorrt-fp16.engine": "9" * 64}, REBUILD, "engine is not the file that tensorrt-fp16.json"),
        (engine(), {"tensorrt-fp16.engine": None}, REBUILD, "tensorrt-fp16.engine is missing"),
        (engine(plugin=EXTERNAL), {"tensorrt-fp16.so": "9" * 64}, REBUILD, "tensorrt-fp16.so is not the file"),
        (engine(plugin=EXTERNAL), {"tensorrt-fp16.so": None}, REBUILD, "tensorrt-fp16.so is missing"),
        (engine(), {"tensorrt-fp16.so": None}, FIT, ""),
        (engine(), {"tensorrt-fp16.onnx": None}, FIT, ""),
        (engine(), {"tensorrt-fp16.engine": None, "tensorrt-fp16.onnx": None}, REFUSE, "built from, is missing"),
        (model("openvino", "tensorrt-fp16.onnx"), {}, REBUILD, "not the file"),
        (model("onnxruntime"), {}, REFUSE, "model.onnx is missing. There is nothing in the bundle"),
    ],
)
def test_files(sidecar, changes, state, words):
    """What is in the bundle, against what the sidecar was written for."""
    files = {name: digest for name, digest in {**FILES, "model.onnx": "4" * 64, **changes}.items() if digest}
    if sidecar.file == "model.onnx":
        del files["model.onnx"]

    found = verdict(sidecar, MACHINE, files)

    assert found.state == state
    assert words in str(found)


def test_every_reason_is_given():
    """An engine of another machine says all in which it differs."""
    found = verdict(engine(), on(installed="10.3.0", capability="8.7", gpu="Orin", platform="linux-aarch64"))

    assert found.state == REBUILD
    assert len(found.reasons) == 3
    assert json.loads(json.dumps(found.to_json())) == {"state": "rebuild", "reasons": list(found.reasons)}


class TestMachine:
    def test_gpu_is_told_by_the_driver(self, monkeypatch):
        """Name and compute capability come from the driver; nothing is held there afterwards."""
        driver = FakeDriver(gpus=2, capability=(12, 0))
        monkeypatch.setattr(cuda_driver, "library", lambda: driver)

        found = machine_of(1)

        assert (found.gpu, found.capability, found.no_gpu) == ("Fake GPU 1", "12.0", None)
        assert found.versions["openvino"] and found.builder
        assert driver.leaks() == {}

    @pytest.mark.parametrize(("capability", "asked"), [((9, 0), BUILDS), ((7, 5), BUILDS), ((8, 6), ())])
    def test_what_tensorrt_rtx_builds_for_is_asked_where_it_matters(self, monkeypatch, capability, asked):
        """Its library is loaded only on a GPU that it may not build for."""
        rtx = fake_tensorrt("rtx", FakeDriver())
        imported = []
        monkeypatch.setattr(cuda_driver, "library", lambda: FakeDriver(capability=capability))
        monkeypatch.setattr(module, "_version", VERSIONS.get)
        monkeypatch.setattr(importing, "import_module", lambda name: imported.append(name) or rtx)

        assert machine_of().rtx_builds == asked
        assert imported == ["tensorrt_rtx"] * bool(asked)

    def test_tensorrt_rtx_that_cannot_be_loaded_is_not_asked(self, monkeypatch):
        """No error: it is told when an engine is loaded."""

        def broken(name):
            raise SetupError("broken")

        monkeypatch.setattr(cuda_driver, "library", lambda: FakeDriver(capability=(9, 0)))
        monkeypatch.setattr(module, "_version", VERSIONS.get)
        monkeypatch.setattr(importing, "import_module", broken)

        assert machine_of().rtx_builds == ()

    def test_without_driver_the_reason_is_kept(self, monkeypatch):
        """No GPU is a fact, not an error."""

        def missing():
            raise SetupError("no NVIDIA driver here")

        monkeypatch.setattr(cuda_driver, "library", missing)

        found = machine_of()

        assert (found.gpu, found.capability, found.no_gpu) == (None, None, "no NVIDIA driver here")

    def test_gpu_that_is_not_there(self, monkeypatch):
        """The number of a GPU that does not exist is a reason, too."""
        monkeypatch.setattr(cuda_driver, "library", FakeDriver)

        assert "no GPU 7" in machine_of(7).no_gpu

    def test_library_that_no_package_tells_of_is_asked_itself(self, monkeypatch):
        """As on devices whose TensorRT comes with the system."""
        monkeypatch.setitem(module._LIBRARIES, "tensorrt", ("fake_surface", ("no-such-package",), "tensorrt"))
        monkeypatch.setattr("fake_surface.__version__", "10.3.0", raising=False)
        assert machine_of().versions["tensorrt"] == "10.3.0"

        monkeypatch.setitem(module._LIBRARIES, "tensorrt", ("no_such_module", ("no-such-package",), "tensorrt"))
        assert machine_of().versions["tensorrt"] is None


@pytest.mark.parametrize(("capability", "fits"), [("7.5", False), ("8.0", True), ("8.6", True), ("12.0", True)])
def test_ampere_and_later_begin_at_8(capability: str, fits: bool) -> None:
    """An engine for ampere+ that was built on 8.7 runs on every GPU from 8.0 on, and on no earlier one."""
    needs: Any = SimpleNamespace(hardware="ampere+", compute_capabilities=("8.7",))

    assert verdicts._gpu_fits(needs, capability) is fits


@pytest.mark.parametrize(
    ("installed", "fits"),
    [("10.12.0.36", True), ("10.12.0", True), ("10.13.0", True), ("10.11.0", False), ("11.0.0", False), ("9.9", False)],
)
def test_version_compatible_engines(installed: str, fits: bool) -> None:
    """A version-compatible engine runs on its own version and on later ones of the same major version."""
    needs: Any = SimpleNamespace(library="10.12.0.36", version_compatible=True)

    assert verdicts._version_fits(needs, installed) is fits
