"""The one list of cases for the selective scan, and what every face must return for them.

A face is anything that computes the scan: the CPU kernel in each instruction set, PyTorch, the ONNX function, the
CUDA core on the host, a GPU. `wanted` is the float64 definition on inputs rounded to the face's type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from mambapro.plugins.selective_scan import reference
from mambapro.plugins.selective_scan.schema import INPUTS

GOLDEN = Path(__file__).parents[1] / "golden" / "selective_scan.npz"
PARAMETERS = ("A", "D", "delta_bias")
#: Largest error allowed, as a share of the largest |y|.
LIMITS = {"float64": 1e-11, "float32": 5e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
GRADIENT_LIMIT = 1e-4
#: Below it values count as zero: kernels flush denormal numbers.
FLOOR = 1e-30

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Sizes of a scan, and what is special about its numbers."""

    batch: int
    length: int
    channels: int
    groups: int = 1
    state: int = 16
    kind: str = "normal"

    def __str__(self) -> str:
        sizes = f"b{self.batch}-l{self.length}-c{self.channels}-g{self.groups}-n{self.state}"
        return sizes if self.kind == "normal" else f"{self.kind}-{sizes}"


def _spoil(name: str, index: tuple[int, ...], value: float) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name][index] = value

    return change


def _scale(name: str, factor: float, shift: float = 0.0) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = arrays[name] * factor + shift

    return change


def _chain(*changes: Callable[[Arrays], None]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        for one in changes:
            one(arrays)

    return change


#: What a kind does to normal inputs. Values stay in float16's range so that every type can be tried.
KINDS: Mapping[str, Callable[[Arrays], None]] = {
    "normal": lambda arrays: None,
    "huge-steps": _scale("delta", 30.0, 60.0),
    "tiny-steps": _scale("delta", 3.0, -14.0),
    # steps down to 1e-40, y still within float16
    "vanishing-steps": _chain(_scale("delta", 10.0, -60.0), _scale("D", 0.0), _scale("u", 1e4), _scale("C", 1e4)),
    "softplus-border": lambda arrays: arrays.update(
        delta=np.resize([19.5, 20.0, 20.5, -20.0], arrays["delta"].shape), delta_bias=arrays["delta_bias"] * 0
    ),
    "slow-decay": _scale("A", 1e-4),
    "fast-decay": _scale("A", 500.0),
    "zeros": lambda arrays: arrays.update({name: arrays[name] * 0 for name in INPUTS}),
    "zero-A": _scale("A", 0.0),
    "zero-u-after-first": lambda arrays: arrays["u"].__setitem__((slice(None), slice(1, None)), 0.0),
    "denormal-u": _chain(_scale("u", 1e-41), _scale("D", 0.0)),
    "denormal-B": _chain(_scale("B", 1e-40), _scale("C", 1.0)),
    "large": _chain(_scale("u", 100.0), _scale("C", 10.0)),
    "near-the-largest": lambda arrays: arrays.update(
        u=arrays["u"] * 0 + np.where(np.arange(arrays["u"].shape[1]) == arrays["u"].shape[1] - 1, 1e19, 0)[:, None],
        delta=arrays["delta"] * 0 + 20,
        delta_bias=arrays["delta_bias"] * 0,
        A=arrays["A"] * 0 - 1e-6,
        B=arrays["B"] * 0 + 1e18,
        C=arrays["C"] * 1e-30,
    ),
    "nan-u": _spoil("u", (0, 3, 1), np.nan),
    "inf-u": _spoil("u", (0, 3, 1), np.inf),
    "nan-delta": _spoil("delta", (0, 3, 1), np.nan),
    "inf-delta": _spoil("delta", (0, 3, 1), np.inf),
    "minus-inf-delta": _spoil("delta", (0, 3, 1), -np.inf),
    "nan-B": _spoil("B", (0, 3, 0, 0), np.nan),
    "inf-C": _spoil("C", (0, 3, 0, 0), np.inf),
    "nan-A": _spoil("A", (1, 0), np.nan),
    "nan-D": _spoil("D", (1,), np.nan),
}
SHAPES = [
    Case(1, 1, 1, 1, 1),
    Case(1, 1, 4, 1, 4),
    Case(2, 2, 3, 3, 2),
    Case(2, 7, 12, 3, 4),
    Case(3, 15, 17, 1, 16),
    Case(1, 16, 16, 1, 16),
    Case(1, 17, 48, 3, 16),
    Case(2, 31, 33, 1, 5),
    Case(1, 33, 30, 6, 16),
    Case(2, 63, 40, 2, 8),
    Case(1, 64, 96, 4, 1),
    Case(5, 65, 7, 1, 3),
    Case(1, 100, 130, 2, 16),
    Case(2, 128, 96, 3, 16),
    Case(1, 129, 31, 1, 17),
    Case(1, 197, 64, 2, 16),
    Case(1, 200, 20, 5, 33),
    Case(1, 384, 256, 1, 16),
    Case(2, 385, 24, 1, 64),
    Case(1, 784, 32, 4, 1),
    Case(1, 3136, 16, 4, 1),
    Case(1, 3136, 8, 1, 16),
    Case(1, 128, 1536, 3, 16),
]
SPECIAL = [Case(2, 37, 20, 2, 16, kind) for kind in KINDS if kind not in ("normal", "near-the-largest")]
GOLDENS = [
    Case(1, 1, 8, 1, 4, "c0"),
    Case(2, 7, 8, 1, 16, "c1"),
    Case(3, 128, 64, 1, 4, "c2"),
    Case(1, 384, 64, 1, 16, "c3"),
    Case(2, 128, 64, 1, 16, "c4"),
    Case(3, 384, 8, 1, 16, "c5"),
]
CASES = [*GOLDENS, *SHAPES, *SPECIAL]
#: Cases whose gradients are compared: all that are finite and whose loop in float64 is not long.
GRADIENT_CASES = [
    case
    for case in CASES
    if case.length <= 400 and not any(word in case.kind for word in ("nan", "inf", "denormal", "vanishing"))
]


def inputs(case: Case, seed: int = 0) -> Arrays:
    """Float64 inputs of a case by name, in the operator's layout."""
    if case.kind not in KINDS:
        return golden(case.kind)[0]
    normal = np.random.default_rng(seed).standard_normal
    arrays = {
        "u": normal((case.batch, case.length, case.channels)),
        "delta": normal((case.batch, case.length, case.channels)),
        "A": -np.exp(normal((case.channels, case.state))),
        "B": normal((case.batch, case.length, case.groups, case.state)),
        "C": normal((case.batch, case.length, case.groups, case.state)),
        "D": normal((case.channels,)),
        "delta_bias": normal((case.channels,)),
    }
    KINDS[case.kind](arrays)
    return arrays


def golden(name: str) -> tuple[Arrays, np.ndarray]:
    """Recorded inputs and float64 output, from (batch, channels, length) to the operator's token-major layout."""
    with np.load(GOLDEN) as arrays:
        values = {key: arrays[f"{name}_{key}"].astype(np.float64) for key in (*INPUTS, "y")}
    for key in ("u", "delta", "y", "B", "C"):
        values[key] = np.ascontiguousarray(values[key].transpose(0, 2, 1))
    for key in ("B", "C"):
        values[key] = values[key][:, :, None]
    return {key: values[key] for key in INPUTS}, values["y"]


def rounded(array: np.ndarray, kind: str) -> np.ndarray:
    """`array` rounded to a type, to nearest even, as float64."""
    if kind != "bfloat16":
        return array.astype(kind).astype(np.float64)
    return from_bfloat16(to_bfloat16(array)).astype(np.float64)


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The upper 16 bits of float32, rounded to nearest even, as uint16; NaN stays NaN."""
    single = array.astype(np.float32)
    bits = single.view(np.uint32).astype(np.uint64)
    upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(single), np.uint16(0x7FC0), upper)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """uint16 to the float32 values they stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def stored(case: Case, kind: str) -> Arrays:
    """Inputs as a face of I/O type `kind` holds them: A, D, bias float32 beside halves, bfloat16 as uint16."""
    parameter = "float64" if kind == "float64" else "float32"
    arrays = {}
    for name, array in inputs(case).items():
        if name in PARAMETERS:
            arrays[name] = array.astype(parameter)
        else:
            arrays[name] = to_bfloat16(array) if kind == "bfloat16" else array.astype(kind)
    return arrays


def _exact(case: Case, kind: str) -> Arrays:
    """What `stored` holds, as float64."""
    arrays = stored(case, kind)
    if kind == "bfloat16":
        arrays = {name: x if name in PARAMETERS else from_bfloat16(x) for name, x in arrays.items()}
    return {name: array.astype(np.float64) for name, array in arrays.items()}


@cache
def wanted(case: Case, kind: str) -> np.ndarray:
    """y in float64 from the rounded inputs."""
    with np.errstate(all="ignore"):
        return reference.selective_scan(**_exact(case, kind))


def output_gradient(case: Case) -> np.ndarray:
    """The dy of a case's gradients, float64 (batch, length, channels)."""
    dy = np.random.default_rng(1).standard_normal((case.batch, case.length, case.channels))
    # dC is dy times the state
    return dy * 1e-4 if case.kind == "near-the-largest" else dy


@cache
def wanted_gradients(case: Case, kind: str) -> Arrays:
    """Gradients of all seven inputs in float64, by name, for the rounded dy and inputs."""
    return reference.selective_scan_backward(rounded(output_gradient(case), kind), **_exact(case, kind))


def error_of(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest |found - expected| as a share of the largest finite |expected|.

    Infinite where NaN and infinities do not stand in the same places; differences below FLOOR are none.
    """
    found = np.asarray(found, np.float64)
    finite = np.isfinite(expected)
    same = np.where(finite, np.isfinite(found), (found == expected) | (np.isnan(found) & np.isnan(expected)))
    if found.shape != expected.shape or not same.all():
        return np.inf
    if not finite.any():
        return 0.0
    scale = np.abs(expected[finite]).max()
    worst = max(np.abs(found[finite] - expected[finite]).max() - FLOOR, 0.0)
    return float(worst / scale) if worst else 0.0


def assert_close(found: np.ndarray, expected: np.ndarray, limit: float, name: str = "y") -> None:
    """`error_of` within `limit`.

    Raises:
        AssertionError: which tensor departs and by how much.
    """
    found = np.asarray(found, np.float64)
    assert found.shape == expected.shape, f"{name}: shape {found.shape}, expected {expected.shape}"
    error = error_of(found, expected)
    assert error < np.inf, f"{name}: NaN or infinities stand elsewhere than expected"
    assert error <= limit, f"{name}: off by {error:.3g} of the largest value, limit {limit:.0e}"
