"""benchmarks/gpu_check.py and its parts, as far as they go where there is no GPU; the kernels are emulated then."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cuda_host
import pytest
import torch
from mambapro.errors import SetupError
from mambapro.plugins.compile import cxx_compiler
from mambapro.plugins.cuda import compiler as cuda_compiler
from mambapro.plugins.cuda import driver as cuda_driver
from scan_cases import CASES, GRADIENT_CASES, Case, wanted

BENCHMARKS = Path(__file__).parents[4] / "benchmarks"
HERE = Path(__file__).parent / "csrc"
NO_GPU = 3
SOME = [CASES[1], Case(2, 37, 20, 2, 16, "nan-u"), Case(2, 31, 33, 1, 5)]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run make gpu-check itself")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Modules of benchmarks/gpu and gpu_check itself, by name."""
    for folder in (BENCHMARKS, BENCHMARKS / "gpu"):
        monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The driver's library is the emulation on the host."""
    library = cuda_host.library()
    library.cuda_on_host_context(0)
    monkeypatch.setattr(cuda_driver, "LIBRARY", library._name)
    cuda_host.forget_driver()
    yield
    cuda_host.forget_driver()


class TestProgram:
    @without_gpu
    def test_without_a_gpu(self, tmp_path: Path) -> None:
        """Exit code 3, a word about it, no file."""
        command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--out", str(tmp_path / "results")]

        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == NO_GPU
        assert "no GPU: no NVIDIA driver" in done.stderr
        assert not (tmp_path / "results").exists()

    @pytest.mark.parametrize("status", ["passed", "failed"])
    def test_the_report(
        self,
        load: Callable[[str], Any],
        emulated: None,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        status: str,
    ) -> None:
        """One JSON file with GPU, date, command and versions; a failed part makes the exit code 1."""
        gpu_check = load("gpu_check")
        sizes = {"type": "float32", "batch": 1, "length": 128, "channels": 8, "groups": 1, "state": 16}
        times = [{"what": "forward", "by": by, **sizes, "ms": ms} for by, ms in (("mambapro", 0.5), ("mamba-ssm", 1.0))]
        part = {"part": "pytorch", "status": status, "reason": None, "count": 3, "worst": 0.25, "times": times}
        monkeypatch.setattr(gpu_check, "run_part", lambda name: part)

        with pytest.raises(SystemExit) as ended:
            gpu_check.main(["--out", str(tmp_path), "--part", "pytorch"])

        assert ended.value.code == (status == "failed")
        (file,) = tmp_path.iterdir()
        report = json.loads(file.read_text())
        assert file.name == f"gpu-check-emulation-on-the-host-{report['date']}.json"
        assert report["command"] == "python benchmarks/gpu_check.py --part pytorch"
        assert torch.__version__.startswith(report["versions"]["torch"])
        assert report["parts"][0]["times"][0]["times_mamba_ssm"] == 2
        assert "2.00 times as fast as mamba-ssm" in capsys.readouterr().out

    def test_a_part_that_crashes_fails(
        self, load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its exit code and last words are the reason."""
        gpu_check = load("gpu_check")
        monkeypatch.setattr(gpu_check, "FOLDER", tmp_path)
        (tmp_path / "kernels.py").write_text("raise MemoryError('all gone')")

        found = gpu_check.run_part("kernels")

        assert found["status"] == "failed"
        assert "all gone" in found["reason"]

    def test_a_part_that_does_not_see_the_gpu_fails(
        self, load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is one, or the program had ended before; what only lacks a package is skipped."""
        gpu_check = load("gpu_check")
        monkeypatch.setattr(gpu_check, "FOLDER", tmp_path)
        head = f"import sys; sys.path.insert(0, {str(BENCHMARKS / 'gpu')!r})\nfrom part import *\n"
        for name, kind in (("kernels", "NoGpu"), ("library", "Skipped")):
            (tmp_path / f"{name}.py").write_text(f"{head}def run(record): raise {kind}('the words')\nfinish(run)")

        blind, skipped = gpu_check.run_part("kernels"), gpu_check.run_part("library")

        assert (blind["status"], blind["reason"]) == ("failed", "finds no GPU, but the driver has one: the words")
        assert (skipped["status"], skipped["reason"]) == ("skipped", "the words")

    def test_a_part_that_takes_too_long_ends_with_its_children(
        self, load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that the part started does not stay on the GPU: it holds a lock here, which is free afterwards."""
        gpu_check = load("gpu_check")
        monkeypatch.setattr(gpu_check, "FOLDER", tmp_path)
        monkeypatch.setattr(gpu_check, "SECONDS", 2)
        (tmp_path / "engines.py").write_text(
            f"import fcntl, subprocess\nfile = open({str(tmp_path / 'lock')!r}, 'w')\n"
            "fcntl.flock(file, fcntl.LOCK_EX)\nsubprocess.run(['sleep', '30'], pass_fds=[file.fileno()])\n"
        )

        found = gpu_check.run_part("engines")

        assert (found["status"], found["reason"]) == ("failed", "took longer than 2 s")
        with (tmp_path / "lock").open() as file:
            # what was killed may take a moment to end
            for _ in range(100):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.05)
        pytest.fail("the child still holds its lock")


class TestRecord:
    @pytest.mark.parametrize(("error", "status"), [(0.5, "passed"), (2.0, "failed"), (float("nan"), "failed")])
    def test_errors_beyond_the_limit_fail(
        self, load: Callable[[str], Any], capsys: pytest.CaptureFixture[str], error: float, status: str
    ) -> None:
        """An error above its limit fails the part, and so does one that is no number."""
        load("part").finish(lambda record: record.check("y", error, 1.0))

        assert json.loads(capsys.readouterr().out)["status"] == status

    def test_nothing_checked_is_a_failure(self, load: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
        """A part that compared nothing did not pass."""
        load("part").finish(lambda record: None)

        assert json.loads(capsys.readouterr().out)["reason"] == "nothing was checked"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """check.cu with kernels and runtime emulated."""
    try:
        compiler = cxx_compiler()
    except SetupError as error:
        pytest.skip(str(error))
    program = tmp_path_factory.mktemp("check") / "check"
    includes = [f"-I{folder}" for folder in (cuda_host.CSRC, HERE, HERE / "cuda_for_check")]
    source = str(HERE / "check_on_host.cpp")
    subprocess.run([compiler, *cuda_host.FLAGS, "-w", *includes, source, "-o", str(program)], check=True)
    return program


def run_check(program: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The compiled program on a machine that the variables describe."""
    environment = {**os.environ, **variables}
    return subprocess.run([program, "--no-times"], capture_output=True, text=True, check=False, env=environment)


class TestKernels:
    def test_all_match(self, compiled: Path, load: Callable[[str], Any]) -> None:
        """Every line of check.cu is read, and every result within its limit."""
        done = run_check(compiled)

        record = load("part").Record()
        load("kernels").read(done.stdout, record)

        assert done.returncode == 0, done.stdout[-500:]
        assert record.count == done.stdout.count("check ") >= 200
        assert record.failures == []
        assert 0 < record.worst < 1

    def test_a_broken_kernel_is_noticed(self, compiled: Path, load: Callable[[str], Any]) -> None:
        """With the wrong bias y fails in every type, and the exit code is 1."""
        done = run_check(compiled, CHECK_BROKEN="1")

        record = load("part").Record()
        load("kernels").read(done.stdout, record)

        assert done.returncode == 1
        assert all(any(name.startswith(kind) for name in record.failures) for kind in cuda_host.TYPES)
        assert all(" y:" in name for name in record.failures)

    @pytest.mark.parametrize(
        ("machine", "code", "words"),
        [
            ({"CHECK_GPUS": "0"}, NO_GPU, "no GPU: the driver lists none"),
            ({"CHECK_ERROR": "100", "CHECK_GPUS": "0"}, NO_GPU, "no GPU: the driver lists none"),
            ({"CHECK_ERROR": "35", "CHECK_DRIVER": "0"}, NO_GPU, "no GPU: there is no NVIDIA driver"),
            ({"CHECK_ERROR": "35", "CHECK_DRIVER": "12040"}, 4, "it is for CUDA 12.4, this program for CUDA 13.0"),
            ({"CHECK_ERROR": "803"}, 1, "cudaGetDeviceCount: an error of the emulation"),
        ],
        ids=["none", "no device", "no driver", "old driver", "broken"],
    )
    def test_what_it_says_where_it_cannot_run(
        self, compiled: Path, machine: dict[str, str], code: int, words: str
    ) -> None:
        """Only where there is no GPU that is what it says: a driver that is too old or broken is an error."""
        done = run_check(compiled, **machine)

        assert (done.returncode, words in done.stdout) == (code, True), done.stdout
        assert "check " not in done.stdout

    def test_times_are_read(self, load: Callable[[str], Any]) -> None:
        """A line of check.cu as a record of its sizes, lanes, milliseconds and shares."""
        record = load("part").Record()
        line = "time float16 batch 64 length 128 channels 3072 groups 3 state 16 lanes 4 (chosen)"

        load("kernels").read(f"{line} ms 0.25000 GB/s 900.5 exp 71.0 %\n", record)

        (row,) = record.times
        assert (row["type"], row["batch"], row["lanes"], row["chosen"]) == ("float16", 64, 4, True)
        assert (row["ms"], row["gb_per_s"], row["exponential_limit_percent"]) == (0.25, 900.5, 71.0)

    @pytest.mark.parametrize(
        ("code", "status", "reason"),
        [
            (3, "no gpu", "no GPU: no device"),
            (4, "failed", "no GPU: no device"),
            (1, "failed", "check ended with 1: no GPU: no device"),
        ],
    )
    def test_its_exit_codes(
        self,
        load: Callable[[str], Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        code: int,
        status: str,
        reason: str,
    ) -> None:
        """No GPU is told as such; a driver that is too old is a failure in the program's words, as any other code."""
        program = tmp_path / "check"
        program.write_text(f"#!/bin/sh\necho 'no GPU: no device'\nexit {code}\n")
        program.chmod(0o755)
        kernels = load("kernels")
        monkeypatch.setattr(kernels, "compile_check", lambda folder: program)

        load("part").finish(kernels.run)

        found = json.loads(capsys.readouterr().out)
        assert found["status"] == status
        assert found["reason"].strip() == reason

    @without_gpu
    def test_it_compiles_and_says_that_there_is_no_gpu(self, load: Callable[[str], Any], tmp_path: Path) -> None:
        """nvcc compiles and links the real one; its exit code is 3."""
        try:
            cuda_compiler.nvcc()
        except SetupError as error:
            pytest.skip(str(error))

        program = load("kernels").compile_check(tmp_path, "sm_90")
        done = subprocess.run([program], capture_output=True, text=True, check=False)

        assert done.returncode == NO_GPU
        assert done.stdout.startswith("no GPU: ")


@pytest.mark.usefixtures("emulated")
class TestDriver:
    def test_all_agree(self, load: Callable[[str], Any]) -> None:
        """The package's PTX by name, its arguments in order, forward and backward, through the emulated driver."""
        part, driver = load("part"), load("driver")
        record = part.Record()

        driver.run(record, SOME, ("float32", "bfloat16"))

        assert record.failures == []
        # four numbers of lanes, and seven gradients for what has them
        assert record.count == 2 * (4 * len(SOME) + 7 * sum(case in GRADIENT_CASES for case in SOME))

    def test_wrong_numbers_are_noticed(self, load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Expected values that are a thousandth larger fail, for every number of lanes."""
        part, driver = load("part"), load("driver")
        monkeypatch.setattr(driver, "wanted", lambda case, kind: 1.001 * wanted(case, kind))
        record = part.Record()

        driver.run(record, [CASES[1]], ("float32",))

        assert len(record.failures) == 4


def test_the_pytorch_comparison(load: Callable[[str], Any]) -> None:
    """What is compared on a GPU is compared here on the CPU's kernel: y, gradients, twice the same."""
    record = load("part").Record()

    load("pytorch").compare_all(record, "cpu", SOME, ("float32", "float16"))

    assert record.failures == []
    assert record.count == 2 * (2 * len(SOME) + 7 * sum(case in GRADIENT_CASES for case in SOME))
