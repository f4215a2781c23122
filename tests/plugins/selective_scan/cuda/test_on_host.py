"""The CUDA kernels, run on the host over the one list of cases: arithmetic, indices, barriers, margins."""

from __future__ import annotations

import ctypes

import cuda_host
import numpy as np
import pytest
import scan_cases
from cuda_host import TYPES, Shape, library, shape_of
from mambapro.plugins.selective_scan.cuda import kernel_table
from mambapro.plugins.selective_scan.schema import INPUTS, MAX_STATE, ScanShape
from scan_cases import CASES, GRADIENT_CASES, GRADIENT_LIMIT, LIMITS, PARAMETERS, Case

#: Cases in which a missing barrier or a wrong lane would show: for each kernel, with a last chunk that is not full.
RACES = [Case(1, 33, 9, 1, 1), Case(1, 70, 33, 3, 4), Case(2, 35, 18, 2), Case(1, 33, 40, 1, 17), Case(1, 49, 9, 1, 64)]


def kernels(case: Case) -> list[tuple[str, int]]:
    """Type and lanes of every kernel that serves a case."""
    return [(kind, lanes) for kind in TYPES for lanes in kernel_table.lanes_for(case.state)]


class TestForward:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_agrees_with_the_definition(self, case: Case) -> None:
        """Every kernel for every type within its limit; NaN and infinities where the definition has them."""
        for kind, lanes in kernels(case):
            found = cuda_host.forward(case, kind, lanes)

            scan_cases.assert_close(found, scan_cases.wanted(case, kind), LIMITS[kind], f"{kind}, {lanes} lanes: y")

    def test_every_instance_is_tried(self) -> None:
        """The cases above leave no kernel out."""
        tried = {kernel_table.kernel_name(kind, lanes, case.state) for case in CASES for kind, lanes in kernels(case)}

        assert tried == {name for name in kernel_table.kernel_names() if "forward" in name}

    @pytest.mark.parametrize("case", RACES, ids=str)
    def test_the_order_of_threads_does_not_matter(self, case: Case) -> None:
        """Bit-equal results whichever thread runs first between two barriers."""
        for kind, lanes in kernels(case):
            first, *others = (cuda_host.forward(case, kind, lanes, order) for order in range(3))

            assert all((other == first).all() for other in others), f"{kind}, {lanes} lanes"

    @pytest.mark.parametrize(("name", "state"), [("nan", 5), ("inf", 5), ("inf", 1), ("inf", 17)])
    def test_padding_invents_no_nan(self, name: str, state: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """States that a kernel has beyond the scan's do with infinities what the scan's do."""
        change = scan_cases._spoil("u", (0, 3, 1), float(name))
        monkeypatch.setitem(scan_cases.KINDS, f"{name}-padded", change)  # type: ignore[arg-type]
        case = Case(1, 20, 5, 1, state, f"{name}-padded")

        for kind, lanes in kernels(case):
            found = cuda_host.forward(case, kind, lanes)
            scan_cases.assert_close(found, scan_cases.wanted(case, kind), LIMITS[kind], f"{kind}, {lanes} lanes: y")

    @pytest.mark.parametrize("kind", TYPES)
    def test_arrays_need_no_alignment(self, kind: str) -> None:
        """B and C that begin at an odd element, where 16 bytes cannot be loaded at once, give the same bits."""
        case = Case(2, 35, 18, 2, 16)
        wanted = cuda_host.forward(case, kind, 16)

        def moved(array: np.ndarray) -> np.ndarray:
            return np.concatenate([array.ravel()[:1], array.ravel()])[1:]

        arrays = {name: moved(array) for name, array in scan_cases.stored(case, kind).items()}
        y = np.zeros_like(arrays["u"])
        pointers = [arrays[name].ctypes.data_as(ctypes.c_void_p) for name in INPUTS]
        shape = ctypes.byref(shape_of(case, kind))

        assert arrays["B"].ctypes.data % 16
        assert library().mambapro_scan_cuda_forward(shape, *pointers, y.ctypes.data_as(ctypes.c_void_p), 16, None) == 0
        assert (cuda_host.floats(y, kind) == wanted.ravel()).all()

    @pytest.mark.parametrize("lanes", [1, 4, 16])
    def test_every_element_is_written_once(self, lanes: int) -> None:
        """Groups that fill no block, tokens that fill no tile: each element of y is written by its own thread alone."""
        case = Case(2, 37, 42, 2, 16)
        arrays = scan_cases.stored(case, "bfloat16")
        y, counts = np.zeros_like(arrays["u"]), np.zeros(arrays["u"].shape, np.int32)
        pointers = [np.ascontiguousarray(arrays[name]) for name in INPUTS]
        addresses = [ctypes.c_void_p(array.ctypes.data) for array in (*pointers, y)]

        code = library().scan_counted_forward(
            ctypes.byref(shape_of(case, "bfloat16")), *addresses, lanes, ctypes.c_void_p(counts.ctypes.data)
        )

        assert code == 0 and (counts == 1).all()
        np.testing.assert_array_equal(cuda_host.floats(y, "bfloat16"), cuda_host.forward(case, "bfloat16", lanes))


class TestBackward:
    @pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
    def test_agrees_with_the_definition(self, case: Case) -> None:
        """All seven gradients for every type; those of 16-bit inputs within what 16 bits can hold."""
        for kind in TYPES:
            found, wanted = cuda_host.backward(case, kind), scan_cases.wanted_gradients(case, kind)

            for name in INPUTS:
                limit = GRADIENT_LIMIT if name in PARAMETERS else max(GRADIENT_LIMIT, LIMITS[kind])
                scan_cases.assert_close(found[name], wanted[name], limit, f"{kind}: d{name}")

    @pytest.mark.parametrize("case", RACES, ids=str)
    def test_the_order_of_threads_does_not_matter(self, case: Case) -> None:
        """Bit-equal gradients whichever thread runs first between two barriers."""
        first, *others = (cuda_host.backward(case, "float32", order) for order in range(3))

        for other in others:
            assert all((other[name] == first[name]).all() for name in INPUTS)

    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize(("batch", "length", "channels"), [(0, 5, 6), (2, 0, 6), (2, 5, 0), (2, 0, 0), (0, 0, 0)])
    def test_nothing_to_scan_has_zero_gradients(self, batch: int, length: int, channels: int, kind: str) -> None:
        """Without samples, tokens or channels every gradient that has elements is zeros, written by the kernel."""
        found = cuda_host.backward(Case(batch, length, channels, 2, 4), kind)

        assert {name: np.abs(found[name]).sum() for name in INPUTS} == dict.fromkeys(INPUTS, 0)

    @pytest.mark.parametrize("state", [4, 33])
    def test_padding_invents_no_nan(self, state: int) -> None:
        """Tokens that fill up the last tile are steps of zero: a state near the largest float is not driven beyond it,
        where it would come back as infinity times zero."""
        case = Case(1, 17, 9, 1, state, "near-the-largest")

        found = cuda_host.backward(case, "float32")

        expected = scan_cases.wanted_gradients(case, "float32")
        for name in INPUTS:
            scan_cases.assert_close(found[name], expected[name], GRADIENT_LIMIT, f"d{name}")


class TestInterface:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"state": 0}, -1),
            ({"state": MAX_STATE + 1}, -1),
            ({"groups": 0}, -1),
            ({"groups": 5}, -1),
            ({"batch": kernel_table.MAX_BATCH + 1}, -1),
            ({"length": -1}, -1),
            ({"type": 3}, -2),
        ],
    )
    def test_a_broken_contract_is_refused(self, change: dict[str, int], code: int) -> None:
        """Both passes return the code of what is wrong and touch nothing."""
        sizes = {"batch": 1, "length": 3, "channels": 8, "groups": 2, "state": 4, "type": 0} | change
        shape = Shape(**sizes)
        nothing = [None] * 7

        assert library().mambapro_scan_cuda_forward(ctypes.byref(shape), *nothing, None, 0, None) == code
        assert library().mambapro_scan_cuda_backward(ctypes.byref(shape), None, *nothing, *nothing, None, None) == code
        assert library().mambapro_scan_cuda_workspace_bytes(ctypes.byref(shape)) == 0

    @pytest.mark.parametrize(("lanes", "state"), [(2, 4), (1, 17), (-1, 4)])
    def test_lanes_without_a_kernel_are_refused(self, lanes: int, state: int) -> None:
        """Lanes are 1, 4, 16, and 1 only up to 16 states."""
        shape = Shape(1, 3, 8, 1, state, 0)

        assert library().mambapro_scan_cuda_forward(ctypes.byref(shape), *[None] * 8, lanes, None) == -3

    def test_lanes_and_workspace_are_those_of_python(self) -> None:
        """cuda_kernels.py chooses the same lanes and asks for the same workspace as the C interface."""
        numbers = np.random.default_rng(0)
        for _ in range(300):
            groups = int(numbers.integers(1, 7))
            batch, length, channels = (int(numbers.integers(1, top)) for top in (100, 400, 2000))
            shape = ScanShape(batch, length, channels * groups, groups, int(numbers.integers(1, 65)))
            multiprocessors = int(numbers.integers(1, 160))
            given = ctypes.byref(Shape(*shape, 0))

            lanes = library().mambapro_scan_cuda_lanes(given, multiprocessors)

            assert kernel_table.choose_lanes(shape, multiprocessors) == lanes, (shape, multiprocessors)
            assert kernel_table.workspace_bytes(shape) == library().mambapro_scan_cuda_workspace_bytes(given), shape

    def test_lanes_follow_the_work(self) -> None:
        """On 132 multiprocessors: few channels are shared by 16 lanes, more by 4, many by none."""
        shapes = [(1, 384, 1024, 1, 16), (1, 128, 3072, 3, 16), (64, 128, 3072, 3, 16)]

        assert [kernel_table.choose_lanes(ScanShape(*shape), 132) for shape in shapes] == [16, 4, 1]

    def test_zero_lanes_chooses(self) -> None:
        """lanes = 0 gives the bits of the kernel chosen for the device."""
        case = Case(1, 40, 600, 1, 16)
        lanes = kernel_table.choose_lanes(ScanShape(1, 40, 600, 1, 16), 4)

        assert (cuda_host.forward(case, "float32", 0) == cuda_host.forward(case, "float32", lanes)).all()


class TestNumbers:
    def test_softplus_is_accurate_relatively(self) -> None:
        """Within 5e-7 of its value from -87, where it is 1e-38, to 20, and the identity beyond."""
        x = np.concatenate([np.linspace(-87, 20, 20001), [20.0001, 50, 1e30]]).astype(np.float32)
        exact = np.logaddexp(0, x.astype(np.float64))

        found = np.array([library().scan_softplus(float(value)) for value in x], np.float64)

        assert (np.abs(found / exact - 1) <= 5e-7).all()
        assert (found[x > 20] == x[x > 20]).all()

    def test_slope_is_the_logistic_function(self) -> None:
        """Within 5e-7, and 1 above 20."""
        x = np.linspace(-87, 30, 20001).astype(np.float32)
        exact = np.where(x > 20, 1, 1 / (1 + np.exp(-x.astype(np.float64))))

        found = np.array([library().scan_softplus_slope(float(value)) for value in x], np.float64)

        assert (np.abs(found / exact - 1) <= 5e-7).all()

    @pytest.mark.parametrize(("x", "y"), [(np.inf, np.inf), (-np.inf, 0), (np.nan, np.nan), (-200, 0)])
    def test_softplus_at_the_ends(self, x: float, y: float) -> None:
        """Infinities and NaN go through; far below it is 0."""
        np.testing.assert_equal(library().scan_softplus(x), y)

    @pytest.mark.parametrize(("x", "y"), [(np.inf, 1), (-np.inf, 0), (np.nan, np.nan), (-200, 0), (1e30, 1)])
    def test_slope_at_the_ends(self, x: float, y: float) -> None:
        """NaN goes through; far above it is 1, far below 0."""
        np.testing.assert_equal(library().scan_softplus_slope(x), y)

    def test_16_bits_are_read_exactly(self) -> None:
        """All 65536 patterns of fp16 and bf16 mean what NumPy says."""
        bits = np.arange(65536, dtype=np.uint16)

        half = np.array([library().scan_from_fp16(int(b)) for b in bits], np.float32)
        brain = np.array([library().scan_from_bf16(int(b)) for b in bits], np.float32)

        np.testing.assert_array_equal(half, bits.view(np.float16).astype(np.float32))
        np.testing.assert_array_equal(brain, scan_cases.from_bfloat16(bits))

    def test_16_bits_are_rounded_to_nearest_even(self) -> None:
        """Random floats, ties, the largest, the smallest, infinities: as NumPy rounds them."""
        random = np.random.default_rng(0).integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
        edges = [
            65504,
            65519.99,
            65520,
            1e9,
            2**-24,
            2**-25,
            1.5 * 2**-25,
            6.1e-5,
            1 + 2**-11,
            1 + 3 * 2**-11,
            0.0,
            np.inf,
        ]
        x = np.concatenate([random[~np.isnan(random)], edges, np.negative(edges)]).astype(np.float32)
        with np.errstate(over="ignore"):
            half = x.astype(np.float16).view(np.uint16)

        found = [(library().scan_to_fp16(float(v)), library().scan_to_bf16(float(v))) for v in x]

        np.testing.assert_array_equal([pair[0] for pair in found], half)
        np.testing.assert_array_equal([pair[1] for pair in found], scan_cases.to_bfloat16(x))

    def test_ties_go_to_even(self) -> None:
        """Half way between two neighbours the one with an even last bit is taken, in both types and signs.

        bf16 has 7 bits behind the point and fp16 has 10: from 1 the neighbours are 2 ** -7 and 2 ** -10 apart.
        """
        for name, bits, step in (("bf16", 7, 0x3F80), ("fp16", 10, 0x3C00)):
            to = getattr(library(), f"scan_to_{name}")
            halves = [1 + (2 * k + 1) * 2.0 ** (-bits - 1) for k in range(6)]

            # 1.5 -> 2, 2.5 -> 2, 3.5 -> 4 in units of the last place
            assert [to(x) - step for x in halves] == [0, 2, 2, 4, 4, 6]
            assert [to(-x) - step - 0x8000 for x in halves] == [0, 2, 2, 4, 4, 6]
            assert [to(float(np.nextafter(np.float32(x), np.float32(2)))) - step for x in halves] == [1, 2, 3, 4, 5, 6]
