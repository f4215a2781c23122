"""The C++ plugin library: its interface and enqueue without TensorRT, and in TensorRT-RTX's builder.

It needs TensorRT's headers, which no pip package brings: $TENSORRT_INCLUDE_DIR names their folder. The kernels are
nvcc's for what TensorRT-RTX loads, and compiled for the host where enqueue is to compute something without a GPU.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins.compile import cxx_compiler
from mambapro.plugins.cuda import compiler as cuda_compiler
from mambapro.plugins.selective_scan.tensorrt import plugin_library
from tensorrt_models import FULL_SIZE, TYPES, model_files, scans
from tensorrt_rtx_engines import MODEL_SCANS, assert_built, build, run

HERE = Path(__file__).parent / "csrc"
ON_HOST = Path(__file__).parents[1] / "cuda" / "csrc"
CSRC = plugin_library.FOLDER
CUDA = CSRC.parents[1] / "cuda" / "csrc"
#: Exit codes of tensorrt_host.cpp.
ALL_RIGHT, NO_GPU = 0, 3
#: Compute capabilities, from the least that the kernels are for.
EVERY_GPU = (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121)


@pytest.fixture(scope="module")
def headers() -> Path:
    """TensorRT's headers."""
    try:
        return plugin_library.include_folder()
    except SetupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def cuda_headers() -> Path:
    """CUDA's headers: TensorRT's include them."""
    try:
        return cuda_compiler.include_folder()
    except SetupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def compile_cpp(headers: Path, cuda_headers: Path):  # type: ignore[no-untyped-def]
    """Compiles sources against TensorRT's and CUDA's headers."""

    def compiled(output: Path, *arguments: str) -> Path:
        includes = ["-isystem", str(headers), "-isystem", str(cuda_headers), f"-I{CSRC}"]
        flags = ["-std=c++17", "-O2", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
        subprocess.run([cxx_compiler(), *flags, *includes, *arguments, "-o", str(output), "-ldl"], check=True)
        return output

    return compiled


@pytest.fixture(scope="module")
def host(compile_cpp, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """The program that drives a plugin library without TensorRT."""
    return compile_cpp(tmp_path_factory.mktemp("host") / "host", "-Werror", str(HERE / "tensorrt_host.cpp"))


@pytest.fixture(scope="module")
def library(headers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as users build it, but for one architecture."""
    try:
        cuda_compiler.nvcc()
    except SetupError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMBAPRO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return plugin_library.build(headers, architectures=[86])


@pytest.fixture(scope="module")
def rtx_library(library: Path) -> Path:
    """The same where TensorRT-RTX is there to load it."""
    if importlib.util.find_spec("tensorrt_rtx") is None or sys.platform != "linux":
        pytest.skip("needs TensorRT-RTX: pip install tensorrt-rtx")
    major = plugin_library.library_version(library)[0]
    if major == 10:
        pytest.skip(f"TensorRT-RTX does not take plugins built with headers of TensorRT {major}")
    return library


class TestWithoutTensorRT:
    def test_enqueue_computes_the_scan(self, host: Path, compile_cpp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        """With the kernels compiled for the host, every check holds and enqueue agrees with double precision."""
        plugin = [str(path) for path in plugin_library.sources() if path.suffix == ".cpp"]
        kernels = [
            f"-I{ON_HOST}",
            f"-I{CUDA}",
            str(ON_HOST / "scan_on_host.cpp"),
            "-Wno-parentheses",
            "-Wno-unused-parameter",
        ]
        on_host = compile_cpp(tmp_path / "libplugin.so", "-shared", "-fPIC", *plugin, *kernels)

        done = subprocess.run([str(host), str(on_host), "--host-memory"], capture_output=True, text=True, check=False)

        assert done.returncode == ALL_RIGHT, done.stdout
        assert "WRONG" not in done.stdout
        assert all(f"{kind} lanes {lanes}:" in done.stdout for kind in TYPES for lanes in (0, 1, 4, 16))

    def test_the_library(self, host: Path, library: Path) -> None:
        """The library of nvcc holds every check; without a GPU its enqueue reports CUDA's error, with one it agrees."""
        done = subprocess.run([str(host), str(library)], capture_output=True, text=True, check=False)

        assert "WRONG" not in done.stdout
        if done.returncode == NO_GPU:
            assert "enqueue said: selective scan: the launch failed with CUDA error" in done.stdout
        else:
            assert done.returncode == ALL_RIGHT, done.stdout

    def test_a_file_that_is_no_plugin(self, host: Path) -> None:
        """Exit code 2 and the reason."""
        done = subprocess.run([str(host), str(HERE / "absent.so")], capture_output=True, text=True, check=False)

        assert done.returncode == 2
        assert "absent.so" in done.stdout

    def test_it_links_nothing_of_tensorrt(self, library: Path) -> None:
        """It needs the C and C++ libraries alone, so one file serves TensorRT and TensorRT-RTX, and engines."""
        said = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True).stdout

        needed = [line.split("[")[1].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line]
        assert [name for name in needed if not name.startswith(("libstdc++", "libgcc", "libc.", "libm.", "ld-"))] == []

    def test_it_knows_its_headers(self, library: Path, headers: Path) -> None:
        """The version of the headers can be read back from the library."""
        assert plugin_library.library_version(library) == plugin_library.headers_version(headers)

    def test_it_states_its_gpus(self, library: Path) -> None:
        """The GPUs that were asked for can be read back from the library, and are those of its device code."""
        assert plugin_library.library_gpus(library) == ({86}, {86})
        listed = subprocess.run(["strings", "-n", "5", str(library)], capture_output=True, text=True, check=True).stdout
        assert "sm_86:compute_86" in listed.splitlines()

    def test_an_unknown_architecture(self, headers: Path, library: Path) -> None:
        """The error names what the compiler knows."""
        with pytest.raises(InputError, match=r"not for \[1\]"):
            plugin_library.build(headers, architectures=[1])


class TestCode:
    """What GPUs the library has code for, by the compiler's options."""

    @pytest.mark.parametrize("newest", [90, 120, 121])
    def test_every_gpu_from_turing_on(self, tmp_path: Path, newest: int) -> None:
        """Whatever the compiler knows: machine code of the same major version or PTX that is not newer."""
        known = [number for number in EVERY_GPU if number <= newest]
        code, ptx = covered(plugin_library._code_flags(compiler_that_knows(known, tmp_path), None))

        for gpu in EVERY_GPU:
            assert any(x // 10 == gpu // 10 and x <= gpu for x in code) or any(x <= gpu for x in ptx), gpu
        assert ptx == {90, max(code)}

    @pytest.mark.parametrize(
        ("wanted", "ptx"), [([86], {86}), ([120, 86, 86], {120}), ([90, 100], {90, 100}), ([90], {90})]
    )
    def test_only_what_was_asked_for(self, tmp_path: Path, wanted: list[int], ptx: set[int]) -> None:
        """Machine code once for each, PTX of the newest, and of 9.0 if it is one of them."""
        flags = plugin_library._code_flags(compiler_that_knows(EVERY_GPU, tmp_path), wanted)

        assert covered(flags) == (set(wanted), ptx)
        assert len(flags) == len(set(wanted)) + len(ptx)

    def test_a_library_for_others_is_refused_with_what_helps(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Built again as the message says, the library serves the GPU that this one does not."""
        monkeypatch.setattr(plugin_library, "library_gpus", lambda library: ({86}, {120}))
        with pytest.raises(SetupError, match=r"8\.6, 12\.0, not for 11\.0\..* for 7\.5 and all later"):
            plugin_library.require_gpus(tmp_path, ("8.6", "11.0"))

        again = covered(plugin_library._code_flags(compiler_that_knows(EVERY_GPU, tmp_path), None))
        monkeypatch.setattr(plugin_library, "library_gpus", lambda library: again)
        plugin_library.require_gpus(tmp_path, tuple(f"{gpu // 10}.{gpu % 10}" for gpu in EVERY_GPU))


class TestStatedGpus:
    """Which GPUs a library serves, as it states them."""

    @pytest.fixture
    def stated(self, tmp_path: Path) -> Callable[[str | None], Path]:
        """A library with the function that states them, or without."""

        def compiled(text: str | None) -> Path:
            source, path = tmp_path / "stated.cpp", tmp_path / "scan.so"
            function = "" if text is None else f'extern "C" const char *mambapro_gpus() {{ return "{text}"; }}'
            source.write_text(function + "\n")
            subprocess.run([cxx_compiler(), "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
            return path

        return compiled

    @pytest.mark.parametrize("capability", ["8.0", "8.6", "8.9", "9.0", "12.0"])
    def test_gpus_that_it_serves(self, stated, capability: str) -> None:  # type: ignore[no-untyped-def]
        """Machine code serves its own and later GPUs of the major version, PTX all from its own on."""
        path = stated("sm_80:sm_86:compute_90")

        plugin_library.require_gpus(path, (capability,))

        assert plugin_library.library_gpus(path) == ({80, 86}, {90})

    @pytest.mark.parametrize("capability", ["7.5", "6.1"])
    def test_gpus_that_it_does_not(self, stated, capability: str) -> None:  # type: ignore[no-untyped-def]
        """Neither earlier GPUs nor those of another major version; all of the requested ones must be served."""
        with pytest.raises(SetupError, match=rf"8\.0, 8\.6, 9\.0, not for {capability}"):
            plugin_library.require_gpus(stated("sm_80:sm_86:compute_90"), ("8.6", capability))

    def test_machine_code_of_another_major_version(self, stated) -> None:  # type: ignore[no-untyped-def]
        """Machine code of 8.6 alone runs neither on 9.0 nor on 8.0; that of 9.0a counts as 9.0."""
        path = stated("sm_86:sm_90a")

        assert plugin_library.library_gpus(path) == ({86, 90}, set())
        plugin_library.require_gpus(path, ("8.6", "8.9", "9.0"))
        for capability in ("8.0", "10.0", "12.0"):
            with pytest.raises(SetupError, match=f"not for {capability}"):
                plugin_library.require_gpus(path, (capability,))

    def test_no_device_code(self, stated) -> None:  # type: ignore[no-untyped-def]
        """A library without any is for no GPU."""
        with pytest.raises(SetupError, match=r"for compute capability no GPU at all, not for 8\.6"):
            plugin_library.require_gpus(stated(""), ("8.6",))

    def test_a_library_of_an_earlier_release(self, stated) -> None:  # type: ignore[no-untyped-def]
        """Without the function the error says that it has to be built again, and how."""
        with pytest.raises(SetupError, match=r"does not state the GPUs.*earlier release.*plugins build tensorrt"):
            plugin_library.require_gpus(stated(None), ("8.6",))


def compiler_that_knows(architectures: Iterable[int], folder: Path) -> str:
    """An nvcc that says so, and does nothing else."""
    path = folder / "nvcc"
    path.write_text("#!/bin/sh\n" + "".join(f"echo compute_{number}\n" for number in architectures))
    path.chmod(0o755)
    return str(path)


def covered(flags: Iterable[str]) -> tuple[set[int], set[int]]:
    """Compute capabilities with machine code, and with PTX."""
    found = re.findall(r"code=\[?(sm|compute)_(\d+)", " ".join(flags))
    code, ptx = ({int(number) for kind, number in found if kind == wanted} for wanted in ("sm", "compute"))
    return code, ptx


class TestInTensorRTRTX:
    def test_each_scan_of_the_model_is_one_layer(self, rtx_library: Path, tiny_checkpoint: Path) -> None:
        """With the library loaded the model has a plugin layer for each scan, and builds."""
        models = model_files(tiny_checkpoint)
        report = build("library", models, library=str(rtx_library), capabilities=["all but SM75"])

        assert {engine["plugins"] for engine in report["engines"]} == {MODEL_SCANS}
        assert [engine for engine in report["engines"] if not engine["bytes"]] == []

    @pytest.mark.parametrize("kind", TYPES)
    def test_full_size_scans(self, rtx_library: Path, tmp_path: Path, kind: str) -> None:
        """The full-size model's scans are plugin layers and nothing else, in every type."""
        report = build("library", [scans(tmp_path / "scans.onnx", kind, FULL_SIZE)], library=str(rtx_library))

        assert {(engine["layers"], engine["plugins"]) for engine in report["engines"]} == {(2, 2)}
        assert_built(report)

    def test_it_travels_in_the_engine(self, rtx_library: Path, tmp_path: Path) -> None:
        """Named in plugins_to_serialize, the library is in the engine: it grows by the library's size."""
        model = [scans(tmp_path / "scans.onnx", "float16")]
        alone, together = (
            build("library", model, library=str(rtx_library), embed=embed, capabilities=["SM86"])["engines"][0]["bytes"]
            for embed in (False, True)
        )

        assert together - alone >= rtx_library.stat().st_size

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"kinds": {"delta": "float32"}}, "delta is float32 but u is not"),
            ({"kinds": {"A": "float16"}}, "A is float16; it must be float32"),
            ({"changes": {"A": [12, 5]}}, "A must be (channels, state), got (12, 5), but state is 4 in B (?, 7, 3, 4)"),
            ({"changes": {"D": [13]}}, "D must be (channels,), got (13,), but channels is 12 in u (?, 7, 12)"),
        ],
    )
    def test_wrong_scans_are_refused(self, rtx_library: Path, tmp_path: Path, more: dict, message: str) -> None:
        """Wrong types and shapes stop the build; TensorRT's log says what was given and what is allowed."""
        model = [scans(tmp_path / "wrong.onnx", "float16", **more)]
        report = build("library", model, library=str(rtx_library), capabilities=["SM86"])

        assert report["engines"][0]["bytes"] == 0
        assert any(message in line for line in report["log"]), report["log"]

    def test_not_beside_the_python_front(self, rtx_library: Path) -> None:
        """With the Python front registered the library is not loaded, and the error says why."""
        done = run(
            "from pathlib import Path\n"
            "from mambapro.plugins.selective_scan.tensorrt import plugin_library, variants\n"
            "from mambapro.plugins.tensorrt import importing\n"
            "trt = importing.import_module('tensorrt_rtx')\n"
            "variants.register(trt, 'python')\n"
            f"plugin_library.register(trt, Path({str(rtx_library)!r}))\n"
        )

        assert "SetupError" in done.stderr
        assert "by the variant 'python' already, so 'library' cannot be" in done.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")
class TestCMake:
    def test_missing_headers(self, tmp_path: Path) -> None:
        """Without headers it stops, and says where they come from and how to name them."""
        environment = {name: value for name, value in os.environ.items() if name != "TENSORRT_INCLUDE_DIR"}
        command = ["cmake", "-S", str(CSRC), "-B", str(tmp_path), f"-DTENSORRT_INCLUDE_DIR={tmp_path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

        assert done.returncode != 0
        assert "-DTENSORRT_INCLUDE_DIR=/path/to/TensorRT/include" in done.stderr

    def test_code_is_that_of_the_other_build(self, tmp_path: Path) -> None:
        """CMake is told the architectures that build() tells nvcc; headers do not matter for that."""
        try:
            nvcc = str(cuda_compiler.nvcc())
        except SetupError as error:
            pytest.skip(str(error))
        (tmp_path / "NvInferRuntime.h").touch()
        command = ["cmake", "-S", str(CSRC), "-B", str(tmp_path / "made"), f"-DTENSORRT_INCLUDE_DIR={tmp_path}"]
        done = subprocess.run([*command, f"-DCMAKE_CUDA_COMPILER={nvcc}"], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        (flags,) = (tmp_path / "made").rglob("flags.make")
        wanted = covered(plugin_library._code_flags(nvcc, None))
        assert covered(re.findall(r"CUDA_FLAGS.*", flags.read_text())) == wanted
        (stated,) = set(re.findall(r"MAMBAPRO_GPUS=(\S+)", flags.read_text()))
        assert covered([f"code={one}" for one in stated.split(":")]) == wanted

    def test_it_configures(self, library: Path, headers: Path, tmp_path: Path) -> None:
        """With headers and a CUDA toolkit it makes the build of all sources."""
        command = ["cmake", "-S", str(CSRC), "-B", str(tmp_path), f"-DTENSORRT_INCLUDE_DIR={headers}"]
        command.append(f"-DCMAKE_CUDA_COMPILER={cuda_compiler.nvcc()}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        made = "".join(path.read_text() for path in tmp_path.rglob("build.make"))
        assert [path.name for path in plugin_library.sources() if path.name not in made] == []
