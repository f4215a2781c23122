"""The CPU kernel over all cases, in every instruction set of this machine and every type."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mambapro.errors import InputError, SetupError
from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel
from mambapro.plugins.selective_scan.schema import INPUTS, ScanShape
from scan_cases import (
    CASES,
    GRADIENT_CASES,
    GRADIENT_LIMIT,
    LIMITS,
    Case,
    assert_close,
    from_bfloat16,
    output_gradient,
    stored,
    to_bfloat16,
    wanted,
    wanted_gradients,
)

SETS = cpu_kernel.instruction_sets()


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """The instruction set belongs to the process: each test leaves it as it was."""
    before = cpu_kernel.instruction_set()
    yield
    cpu_kernel.use_instruction_set(before)


def size_of(case: Case) -> ScanShape:
    return ScanShape(case.batch, case.length, case.channels, case.groups, case.state)


def addresses(arrays: dict[str, np.ndarray]) -> list[int]:
    return [arrays[name].ctypes.data for name in INPUTS]


def contiguous(case: Case, kind: str) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array) for name, array in stored(case, kind).items()}


def forward(case: Case, kind: str, threads: int = 2) -> np.ndarray:
    """y as it is stored: bfloat16 as uint16."""
    arrays = contiguous(case, kind)
    y = np.full_like(arrays["u"], 7)
    cpu_kernel.forward(size_of(case), kind, threads, addresses(arrays), y.ctypes.data)
    return y


def backward(case: Case, kind: str, threads: int = 2) -> dict[str, np.ndarray]:
    """Gradients by name, as they are stored."""
    arrays = contiguous(case, kind)
    dy = output_gradient(case)
    dy = to_bfloat16(dy) if kind == "bfloat16" else dy.astype(kind)
    gradients = {name: np.full_like(arrays[name], 7) for name in INPUTS}
    cpu_kernel.backward(size_of(case), kind, threads, dy.ctypes.data, addresses(arrays), addresses(gradients))
    return gradients


def numbers(array: np.ndarray, kind: str) -> np.ndarray:
    """What an array stands for, as float64."""
    values = from_bfloat16(array) if kind == "bfloat16" and array.dtype == np.uint16 else array
    return values.astype(np.float64)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("instructions", SETS)
class TestNumbers:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_forward(self, case: Case, instructions: str, kind: str) -> None:
        """y agrees with the definition; NaN and infinities stand where the definition has them."""
        cpu_kernel.use_instruction_set(instructions)

        found = forward(case, kind)

        assert_close(numbers(found, kind), wanted(case, kind), LIMITS[kind])

    @pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
    def test_backward(self, case: Case, instructions: str, kind: str) -> None:
        """The gradients of all seven inputs agree with the definition."""
        cpu_kernel.use_instruction_set(instructions)

        found = backward(case, kind)

        expected = wanted_gradients(case, kind)
        for name in INPUTS:
            # what is stored in half precision is rounded to it
            exact = kind == "float64" or found[name].dtype == np.float32
            limit = {"float64": 1e-10}.get(kind, GRADIENT_LIMIT) if exact else LIMITS[kind]
            assert_close(numbers(found[name], kind), expected[name], limit, f"gradient of {name}")


@pytest.mark.parametrize("instructions", SETS)
class TestEdges:
    @pytest.mark.parametrize("length", [5, 6, 7, 9])
    def test_padding_invents_no_nan(self, instructions: str, length: int) -> None:
        """Tokens that fill up the last chunk are steps of zero: a state near the largest float is not driven beyond
        it, where it would come back as infinity times zero."""
        cpu_kernel.use_instruction_set(instructions)
        case = Case(1, length, 19, 1, 4, "near-the-largest")

        found, expected = backward(case, "float32"), wanted_gradients(case, "float32")

        for name in INPUTS:
            assert_close(found[name].astype(np.float64), expected[name], GRADIENT_LIMIT, f"gradient of {name}")

    @pytest.mark.parametrize(("kind", "bits", "one"), [("bfloat16", 7, 0x3F80), ("float16", 10, 0x3C00)])
    def test_ties_go_to_even(self, instructions: str, kind: str, bits: int, one: int) -> None:
        """Half way between two neighbours the one with an even last bit is stored, whatever the sign.

        With u = 1 and no state y is D, which is float32: 1 + (k + 1/2) units of the last place of `kind`.
        """
        cpu_kernel.use_instruction_set(instructions)
        case = Case(1, 1, 38, 1, 1)
        arrays = {name: np.zeros_like(array) for name, array in contiguous(case, kind).items()}
        arrays["u"][:] = np.uint16(one) if kind == "bfloat16" else 1
        halves = 1 + (2 * np.arange(19) + 1) * 2.0 ** (-bits - 1)
        arrays["D"][:] = np.concatenate([halves, -halves])
        y = np.full_like(arrays["u"], 7)

        cpu_kernel.forward(size_of(case), kind, 1, addresses(arrays), y.ctypes.data)

        stored_bits = y.view(np.uint16).ravel().astype(int) - one
        even = [k + k % 2 for k in range(19)]
        assert stored_bits.tolist() == [*even, *(0x8000 + k for k in even)]

    @pytest.mark.parametrize("kind", LIMITS)
    def test_nothing_beyond_the_arrays_is_written(self, instructions: str, kind: str) -> None:
        """Channels of a group that fill no vector: what lies behind y and the gradients stays as it was."""
        cpu_kernel.use_instruction_set(instructions)
        for case in (Case(1, 3, 17, 1, 3), Case(2, 6, 10, 2, 5)):
            arrays = contiguous(case, kind)
            y = np.full(arrays["u"].size + 64, 7, arrays["u"].dtype)
            gradients = {name: np.full(array.size + 64, 7, array.dtype) for name, array in arrays.items()}
            places = [gradients[name].ctypes.data for name in INPUTS]

            cpu_kernel.forward(size_of(case), kind, 1, addresses(arrays), y.ctypes.data)
            cpu_kernel.backward(size_of(case), kind, 1, arrays["u"].ctypes.data, addresses(arrays), places)

            assert (y[arrays["u"].size :] == 7).all()
            for name, found in gradients.items():
                assert (found[arrays[name].size :] == 7).all(), name


class TestThreads:
    @pytest.mark.parametrize("case", [Case(1, 384, 1024), Case(3, 128, 192, 3), Case(2, 100, 40)], ids=str)
    def test_results_do_not_depend_on_their_number(self, case: Case) -> None:
        """One, two or seven threads return the same bits, forward and backward."""
        y, gradients = forward(case, "float32", 1), backward(case, "float32", 1)

        for threads in (2, 7, 0):
            np.testing.assert_array_equal(forward(case, "float32", threads), y)
            again = backward(case, "float32", threads)
            for name in INPUTS:
                np.testing.assert_array_equal(again[name], gradients[name], name)

    def test_calls_from_several_threads_at_once(self) -> None:
        """Callers do not disturb each other."""
        from concurrent.futures import ThreadPoolExecutor

        case = Case(1, 200, 512)
        alone = forward(case, "float32")

        with ThreadPoolExecutor(8) as callers:
            results = list(callers.map(lambda _: forward(case, "float32"), range(40)))

        for y in results:
            np.testing.assert_array_equal(y, alone)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_forked_process_can_go_on(self) -> None:
        """A child of fork has none of its parent's threads and still computes: data loaders fork."""
        case = Case(1, 200, 512)
        forward(case, "float32")

        child = multiprocessing.get_context("fork").Process(target=_forward_in_child, args=(case,))
        child.start()
        child.join(60)

        assert child.exitcode == 0

    @pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
    @pytest.mark.parametrize("package", ["numpy", "torch"])
    def test_a_forked_process_has_threads_of_its_own(self, package: str) -> None:
        """After fork the kernel starts new threads in the child: its parent's are not there, neither its own nor
        OpenMP's, which PyTorch brings, and a child that counts on them works alone or waits for ever."""
        code = (
            f"import os, sys, {package}, numpy as np\n"
            "from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel\n"
            "from mambapro.plugins.selective_scan.schema import ScanShape\n"
            "a = [np.ones(n, np.float32) for n in (65536, 65536, 4096, 4096, 4096, 256, 256)]\n"
            "def run():\n"
            "    y = np.zeros(65536, np.float32)\n"
            "    places = [x.ctypes.data for x in a]\n"
            "    cpu_kernel.forward(ScanShape(1, 256, 256, 1, 16), 'float32', 3, places, y.ctypes.data)\n"
            "    return y\n"
            "before = run()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    alone = len(os.listdir('/proc/self/task'))\n"
            "    same = (run() == before).all()\n"
            "    os._exit(0 if same and alone == 1 and len(os.listdir('/proc/self/task')) == 3 else 1)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        )

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 0, done.stderr

    def test_own_threads_without_openmp(self) -> None:
        """In a process without PyTorch the kernel's own threads do the work, and the process ends."""
        code = (
            "import numpy as np, sys\n"
            "from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel\n"
            "from mambapro.plugins.selective_scan.schema import ScanShape\n"
            "a = [np.ones(n, np.float32) for n in (65536, 65536, 4096, 4096, 4096, 256, 256)]\n"
            "y = [np.zeros(65536, np.float32) for _ in range(2)]\n"
            "for i in range(50):\n"
            "    for threads in (1, 4):\n"
            "        cpu_kernel.forward(ScanShape(1, 256, 256, 1, 16), 'float32', threads, [x.ctypes.data for x in a],"
            " y[threads // 4].ctypes.data)\n"
            "assert (y[0] == y[1]).all() and y[0].any()\n"
            "assert 'torch' not in sys.modules\n"
        )

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 0, done.stderr


def _forward_in_child(case: Case) -> None:
    forward(case, "float32")
    # skips what the parent's test session would do at exit
    os._exit(0)


class TestDenormals:
    @pytest.mark.alone
    def test_decayed_states_cost_no_time(self) -> None:
        """States that have decayed to nothing do not slow the scan down: denormal numbers would, fifty times."""
        import time

        case = Case(8, 256, 64)
        arrays = contiguous(case, "float32")
        arrays["u"][:, 1:] = 0
        y = np.empty_like(arrays["u"])

        def seconds(decay: float) -> float:
            arrays["A"][:] = decay
            times = []
            for _ in range(7):
                start = time.perf_counter()
                cpu_kernel.forward(size_of(case), "float32", 1, addresses(arrays), y.ctypes.data)
                times.append(time.perf_counter() - start)
            return min(times)

        assert seconds(-3.0) / seconds(-0.05) < 3

    @pytest.mark.parametrize("kind", ["float32", "float64"])
    @pytest.mark.parametrize("instructions", SETS)
    def test_they_count_as_zero(self, instructions: str, kind: str) -> None:
        """Denormal input is zero inside a task and nothing denormal comes out: with no state y is D u."""
        cpu_kernel.use_instruction_set(instructions)
        case = Case(1, 2, 17, 1, 1)
        arrays = {name: np.zeros_like(array) for name, array in contiguous(case, kind).items()}
        tiny = np.finfo(kind).tiny
        # one denormal number already, one whose product would be
        arrays["u"][:, 0], arrays["u"][:, 1] = tiny / 4, tiny
        arrays["D"][:] = 0.5
        y = np.full_like(arrays["u"], 7)

        cpu_kernel.forward(size_of(case), kind, 1, addresses(arrays), y.ctypes.data)

        assert tiny / 4 > 0 and (y == 0).all()

    def test_the_callers_mode_is_kept(self) -> None:
        """Flushing ends with the call: the caller's denormal numbers stay what they are."""
        tiny = np.array([1e-40], np.float32)

        forward(Case(1, 3, 16), "float32", 1)

        assert (tiny * np.float32(0.5))[0] > 0


class TestErrors:
    def test_sizes_outside_the_contract(self) -> None:
        """The kernel refuses sizes the contract does not allow."""
        with pytest.raises(SetupError, match="sizes outside"):
            cpu_kernel.forward(ScanShape(1, 1, 4, 3, 1), "float32", 1, [0] * 7, 0)
        with pytest.raises(SetupError, match="sizes outside"):
            cpu_kernel.forward(ScanShape(1, 1, 4, 1, 65), "float32", 1, [0] * 7, 0)
        with pytest.raises(SetupError, match="sizes outside"):
            cpu_kernel.backward(ScanShape(1, 1, 4, 1, 65), "float32", 1, 0, [0] * 7, [0] * 7)

    def test_an_unknown_instruction_set(self) -> None:
        """The names that can be used are told."""
        with pytest.raises(InputError, match=SETS[-1]):
            cpu_kernel.use_instruction_set("mmx")

    def test_empty_sizes(self) -> None:
        """No batch, tokens or channels: y is let be, every gradient that has elements is zero."""
        for size in (ScanShape(0, 3, 4, 1, 2), ScanShape(2, 0, 4, 1, 2), ScanShape(2, 3, 0, 1, 2)):
            arrays = [np.full(24, 7, np.float32) for _ in range(16)]
            places = [array.ctypes.data for array in arrays]

            cpu_kernel.forward(size, "float32", 2, places[:7], places[7])
            cpu_kernel.backward(size, "float32", 2, places[8], places[:7], places[9:])

            assert (arrays[7] == 7).all()
            maps, rates = size.batch * size.length * size.groups * size.state, size.channels * size.state
            counts = [0, 0, rates, maps, maps, size.channels, size.channels]
            for array, count in zip(arrays[9:], counts, strict=True):
                assert (array[:count] == 0).all()
                assert (array[count:] == 7).all()

    def test_a_library_of_other_sources(self) -> None:
        """A library left behind by older sources is refused, not used."""
        cpu_kernel._library.cache_clear()
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cpu_kernel, "source_fingerprint", lambda: "0" * 16)
                assert "compiled from other sources" in str(cpu_kernel.why_unavailable())
        finally:
            cpu_kernel._library.cache_clear()

    def test_the_environment_chooses(self) -> None:
        """MAMBAPRO_SCAN_INSTRUCTIONS names the instruction set; a wrong name is an error, not a fallback."""
        code = (
            "from mambapro.plugins.selective_scan.cpu import kernel as cpu_kernel; print(cpu_kernel.instruction_set())"
        )

        def run(name: str) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "MAMBAPRO_SCAN_INSTRUCTIONS": name}
            return subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
            )

        assert run(SETS[-1]).stdout.strip() == SETS[-1]
        assert "does not run here" in run("mmx").stderr
