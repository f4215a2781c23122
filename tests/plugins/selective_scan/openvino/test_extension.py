"""The selective scan in OpenVINO: the extension on the CPU kernel, and the inlined function where there is none."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import scan_cases
from mambapro.errors import SetupError
from mambapro.plugins import compile as compiling
from mambapro.plugins.selective_scan.onnx.node import scan_model
from mambapro.plugins.selective_scan.openvino import extension as openvino_extension
from onnx import helper
from scan_cases import CASES, LIMITS, Case, assert_close, stored, wanted

openvino = pytest.importorskip("openvino")

KINDS = ("float32", "float16", "bfloat16")
HINTS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
#: One of each sort, for what is slow.
FEW = [Case(2, 7, 12, 3, 4), Case(2, 128, 96, 3, 16), Case(2, 37, 20, 2, 16, "nan-u"), Case(1, 1, 1, 1, 1)]


@pytest.fixture(scope="module")
def extension() -> Path:
    """The compiled extension."""
    try:
        compiling.cxx_compiler()
    except SetupError as error:
        pytest.skip(str(error))
    return openvino_extension.build()


def compiled(model: Any, core: Any, hint: str = "f32", **properties: Any) -> Any:
    """The model on the CPU."""
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **properties})


def run(model: Any, case: Case, kind: str) -> np.ndarray:
    """y of a case; NumPy has no bfloat16, so that goes in and out as bits."""
    feeds = {}
    for name, array in stored(case, kind).items():
        if array.dtype == np.uint16:
            feeds[name] = openvino.Tensor(array.view(np.float16), array.shape, openvino.Type.bf16)
        else:
            feeds[name] = openvino.Tensor(array)
    request = model.create_infer_request()
    request.infer(feeds)
    y = request.get_output_tensor()
    assert y.element_type == {"float32": openvino.Type.f32, "float16": openvino.Type.f16}.get(kind, openvino.Type.bf16)
    return scan_cases.from_bfloat16(y.data.view(np.uint16)) if kind == "bfloat16" else y.data.copy()


@pytest.fixture(scope="module", params=KINDS)
def on_the_kernel(request: pytest.FixtureRequest, extension: Path) -> tuple[str, Any]:
    """An I/O type, and the one compiled model that serves every size of it."""
    core = openvino.Core()
    return request.param, compiled(openvino_extension.read_model(core, scan_model(request.param)), core)


@pytest.fixture(scope="module", params=KINDS)
def inlined(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """An I/O type, and the one compiled model of standard operators for it."""
    core = openvino.Core()
    model = openvino_extension.inlined(scan_model(request.param))
    return request.param, compiled(core.read_model(model.SerializeToString()), core)


class TestExtension:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_agrees_with_the_definition(self, on_the_kernel: tuple[str, Any], case: Case) -> None:
        """Every case within the limit of its type; NaN and infinities come out where they belong."""
        kind, network = on_the_kernel

        assert_close(run(network, case, kind), wanted(case, kind), LIMITS[kind])

    @pytest.mark.parametrize("case", FEW, ids=str)
    @pytest.mark.parametrize("hint", HINTS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_hint_with_every_type(self, extension: Path, kind: str, hint: str, case: Case) -> None:
        """OpenVINO changes the types inside by its hint; the loss is that of the coarser type, not more."""
        core = openvino.Core()
        network = compiled(openvino_extension.read_model(core, scan_model(kind)), core, hint)

        assert_close(run(network, case, kind), wanted(case, kind), max(LIMITS[kind], LIMITS[HINTS[hint]]))

    def test_a_scan_is_one_operation(self, extension: Path) -> None:
        """What runs is the extension, not the function that the file holds beside the node."""
        model = openvino_extension.read_model(openvino.Core(), scan_model())

        assert [op.get_type_name() for op in model.get_ops() if op.get_type_name() not in ("Parameter", "Result")] == [
            "SelectiveScan"
        ]

    def test_reads_files_bytes_and_models(self, extension: Path, tmp_path: Path) -> None:
        """A path, its content, or a model in memory."""
        model, file, core = scan_model(), tmp_path / "scan.onnx", openvino.Core()
        onnx.save(model, file)
        found = [openvino_extension.read_model(core, form) for form in (file, str(file), file.read_bytes(), model)]

        assert [len(network.inputs) for network in found] == [7] * 4

    def test_files_of_openvino_hold_it(self, extension: Path, tmp_path: Path) -> None:
        """A model saved in OpenVINO's own format comes back the same."""
        core, case = openvino.Core(), Case(2, 7, 12, 3, 4)
        openvino.save_model(
            openvino_extension.read_model(core, scan_model()), tmp_path / "scan.xml", compress_to_fp16=False
        )

        network = compiled(core.read_model(tmp_path / "scan.xml"), core)

        assert_close(run(network, case, "float32"), wanted(case, "float32"), LIMITS["float32"])

    def test_keeps_to_the_threads_of_the_model(self, extension: Path) -> None:
        """With one thread of inference the kernel starts none of its own; with two it starts one."""
        script = """
import os, sys
import openvino, scan_cases
from mambapro.plugins.selective_scan.onnx import node
from mambapro.plugins.selective_scan.openvino import extension as openvino_extension
core = openvino.Core()
model = openvino_extension.read_model(core, node.scan_model())
network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": sys.argv[1]})
request = network.create_infer_request()
small, large = scan_cases.Case(1, 1, 1, 1, 1), scan_cases.Case(2, 128, 96, 3, 16)
request.infer(scan_cases.stored(small, "float32"))
before = len(os.listdir("/proc/self/task"))
request.infer(scan_cases.stored(large, "float32"))
print(len(os.listdir("/proc/self/task")) - before)
"""
        environment = {**os.environ, "PYTHONPATH": str(Path(scan_cases.__file__).parent)}
        started = [
            int(subprocess.check_output([sys.executable, "-c", script, threads], env=environment, text=True))
            for threads in ("1", "2")
        ]

        assert started == [0, 1]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("u", [2, 7], r"u must be \(batch, length, channels\), got \(2, 7\)"),
            ("delta", [2, 8, 12], "length is 7 in u"),
            ("A", [12, 65], "state must be 1 to 64, got 65|state is 4 in B"),
            ("B", [2, 7, 5, 4], "cannot be divided into 5 groups|groups is 5 in B"),
            ("D", [1], "channels is 12 in u"),
        ],
    )
    def test_wrong_shapes_in_the_file(self, extension: Path, name: str, shape: list[int], message: str) -> None:
        """Reading the model fails; the message says which input, what it is and what is allowed."""
        shapes = {key: list(array.shape) for key, array in stored(Case(2, 7, 12, 3, 4), "float32").items()}
        model = scan_model()
        for value in model.graph.input:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, {**shapes, name: shape}[value.name]))

        with pytest.raises(RuntimeError, match=message):
            openvino_extension.read_model(openvino.Core(), model)

    def test_wrong_shapes_at_run_time(self, extension: Path) -> None:
        """Where the file leaves the sizes open, the call fails with the same message."""
        core = openvino.Core()
        network = compiled(openvino_extension.read_model(core, scan_model()), core)
        feeds = stored(Case(2, 7, 12, 3, 4), "float32")
        feeds["C"] = feeds["C"][:, :, :1].copy()

        with pytest.raises(RuntimeError, match=r"C must be .* got .*groups is 3 in B"):
            network(feeds)

    def test_wrong_types(self, extension: Path) -> None:
        """Integers are no input of a scan."""
        model = scan_model()
        model.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.INT32

        with pytest.raises(RuntimeError, match="delta is i32; allowed are f32, f16, bf16"):
            openvino_extension.read_model(openvino.Core(), model)


class TestInlined:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_agrees_with_the_definition(self, inlined: tuple[str, Any], case: Case) -> None:
        """The function alone gives the same numbers in OpenVINO, where everything is computed in float32."""
        kind, network = inlined

        assert_close(run(network, case, kind), wanted(case, kind), LIMITS[kind])

    def test_stands_in_where_there_is_no_compiler(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No compiler: the model runs all the same, and a warning says why and what it costs."""
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        case, core = Case(2, 128, 96, 3, 16), openvino.Core()

        with caplog.at_level(logging.WARNING, "mambapro"):
            network = compiled(openvino_extension.read_model(core, scan_model()), core)

        (record,) = caplog.records
        assert "no C++ compiler found" in record.getMessage()
        assert f"{openvino_extension.SLOWER} times as long" in record.getMessage()
        assert_close(run(network, case, "float32"), wanted(case, "float32"), LIMITS["float32"])

    def test_stands_in_where_the_compiler_fails(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A compiler that fails is quoted in the warning."""
        broken = tmp_path / "c++"
        broken.write_text("#!/bin/sh\necho this compiler is broken >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("CXX", str(broken))
        monkeypatch.setenv("MAMBAPRO_CACHE", str(tmp_path / "cache"))

        with caplog.at_level(logging.WARNING, "mambapro"):
            openvino_extension.read_model(openvino.Core(), scan_model())

        assert "this compiler is broken" in caplog.text


class TestBuild:
    def test_two_processes_at_once(self, extension: Path, tmp_path: Path) -> None:
        """Two processes that start with an empty cache compile once and get one and the same library, whole.

        The compiler takes two seconds and gives the library that is compiled already.
        """
        compiler, calls, cache = tmp_path / "c++", tmp_path / "calls", tmp_path / "cache"
        compiler.write_text(
            f'#!/bin/sh\ncase " $* " in *" -o "*) ;; *) exec {compiling.cxx_compiler()} "$@" ;; esac\n'
            f'while [ "$1" != -o ]; do shift; done\necho "$2" >> {calls}\nsleep 2\ncp {extension} "$2"\n'
        )
        compiler.chmod(0o755)
        script = """
import openvino
from mambapro.plugins.selective_scan.openvino import extension as openvino_extension
path = openvino_extension.build()
openvino.Core().add_extension(str(path))
print(path, path.stat().st_ino)
"""
        environment = {**os.environ, "MAMBAPRO_CACHE": str(cache), "CXX": str(compiler)}
        command = [sys.executable, "-c", script]
        both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate()[0] for process in both]

        assert [process.returncode for process in both] == [0, 0]
        assert said[0] == said[1]
        library = Path(said[0].split()[0])
        assert len(calls.read_text().splitlines()) == 1
        assert library.is_relative_to(cache) and library.read_bytes() == extension.read_bytes()
        assert sorted(path.name for path in library.parent.iterdir()) == [library.name, "lock"]

    def test_says_that_headers_are_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """An openvino without C++ headers is named."""
        monkeypatch.setattr(openvino_extension, "_package", lambda: tmp_path)

        with pytest.raises(SetupError, match="no C\\+\\+ headers"):
            openvino_extension.build()


class TestProfile:
    def test_prints_both_profiles_and_the_comparison(self, extension: Path, tiny_checkpoint: Path) -> None:
        """benchmarks/openvino_profile.py takes a checkpoint; the scans' share and the agreement stand in its output."""
        path = Path(__file__).parents[4] / "benchmarks" / "openvino_profile.py"

        command = [sys.executable, str(path), str(tiny_checkpoint), "--runs=2", "--batch=2"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert re.search(r"scans \(SelectiveScan\): \d+\.\d+ ms, \d+\.\d%", done.stdout), done.stdout
        assert re.search(r"scans \(TensorIterator\): \d+\.\d+ ms, \d+\.\d%", done.stdout), done.stdout
        departures = [float(number) for number in re.findall(r"1 - cosine at most (\S+),", done.stdout)]
        assert len(departures) == 2
        assert max(departures) < 1e-5
