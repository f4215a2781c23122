"""Implementations of the selective scan: availability on this machine, and comparison with the definition.

Used by `mambapro plugins`. Packages are imported only when an implementation is checked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, SetupError
from ..tensorrt import importing
from . import reference
from .cpu import kernel as cpu_kernel
from .onnxruntime import custom_op
from .openvino import extension
from .schema import INPUTS, ScanShape
from .tensorrt import plugin_library, variants

#: Implementations that `build` can compile.
BUILDERS: Mapping[str, Callable[[], Path]] = {
    "onnxruntime": custom_op.build,
    "openvino": extension.build,
    "tensorrt": plugin_library.build,
}
#: Largest error of `check` relative to the largest |y|, in float32.
LIMIT = 5e-6
#: Sizes of `check`: MambaPro's two scans, reduced, an odd one, and the largest state.
SHAPES = (
    ScanShape(2, 128, 96, 3, 16),
    ScanShape(1, 384, 64, 1, 16),
    ScanShape(2, 33, 35, 5, 3),
    ScanShape(1, 9, 8, 1, 64),
)


@dataclass(frozen=True)
class BackendStatus:
    """One implementation: its purpose and, if unavailable, the reason."""

    face: str
    purpose: str
    reason: str | None


@dataclass(frozen=True)
class BackendList:
    """All implementations, for printing."""

    rows: tuple[BackendStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"faces": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        return "\n".join(
            f"{row.face:26}  {'ready' if row.reason is None else 'no: ' + row.reason}" for row in self.rows
        )


@dataclass(frozen=True)
class BackendCheck:
    """Comparison of an implementation with the definition: largest relative error, or the reason for skipping it."""

    face: str
    error: float | None
    reason: str | None

    @property
    def passed(self) -> bool:
        """True if it was skipped or the error is within the limit."""
        return self.error is None or self.error <= LIMIT


@dataclass(frozen=True)
class CheckReport:
    """All implementations that can run here, for printing."""

    rows: tuple[BackendCheck, ...]

    @property
    def passed(self) -> bool:
        """True if none failed."""
        return all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"limit": LIMIT, "passed": self.passed, "faces": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        lines = [f"largest error of y, float32, {len(SHAPES)} sizes; limit {LIMIT:.0e} of the largest |y|"]
        for row in self.rows:
            found = (
                f"not run: {row.reason}" if row.error is None else f"{row.error:.1e}  {'ok' if row.passed else 'WRONG'}"
            )
            lines.append(f"{row.face:26}  {found}")
        return "\n".join(lines)


def list_backends() -> BackendList:
    """Return every implementation with the reason if it is unavailable here; nothing is built."""
    rows = [
        BackendStatus("CPU kernel", "PyTorch and OpenVINO on CPUs", cpu_kernel.why_unavailable()),
        BackendStatus("PyTorch, CPU", "training, parity", _without("torch") or cpu_kernel.why_unavailable()),
        BackendStatus("PyTorch, CUDA", "training on NVIDIA GPUs", _without("torch") or _no_driver()),
        BackendStatus("ONNX function", "any ONNX runtime", _without("onnx")),
        BackendStatus(
            "ONNX Runtime operator", "ONNX Runtime on CPUs", _without("onnxruntime") or _no_onnxruntime_headers()
        ),
        BackendStatus("OpenVINO extension", "OpenVINO on CPUs", _without("openvino")),
    ]
    for module in importing.MODULES:
        try:
            reasons = variants.unavailable(importing.import_module(module))
        except SetupError as error:
            reasons = dict.fromkeys(variants.FRONTS, str(error))
        rows += [BackendStatus(f"{module}, {front}", "TensorRT engines", reason) for front, reason in reasons.items()]
    return BackendList(tuple(rows))


def build(name: str) -> Path:
    """Compile an implementation ahead of its first use; return the library's path.

    Raises:
        InputError: nothing of that name is compiled.
        SetupError: headers or a compiler are missing, or it does not compile.
    """
    if name not in BUILDERS:
        raise InputError(f"there is nothing to build for {name!r}; allowed are {', '.join(BUILDERS)}.")
    return BUILDERS[name]()


def check() -> CheckReport:
    """Run every implementation that works without a GPU over SHAPES and compare it with the float64 definition."""
    runners: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {}
    rows = []
    if reason := cpu_kernel.why_unavailable():
        rows.append(BackendCheck("CPU kernel", None, reason))
    else:
        before = cpu_kernel.instruction_set()
        for name in cpu_kernel.instruction_sets():
            cpu_kernel.use_instruction_set(name)
            rows.append(BackendCheck(f"CPU kernel, {name}", _largest_error(_with_kernel), None))
        cpu_kernel.use_instruction_set(before)
    for face, package, make in (
        ("ONNX Runtime, function", "onnxruntime", _onnxruntime),
        ("ONNX Runtime, operator", "onnxruntime", _onnxruntime_operator),
        ("OpenVINO, extension", "openvino", _openvino),
    ):
        reason = _without(package) or _without("onnx") or _without("onnxscript")
        if reason is None:
            try:
                runners[face] = make()
            except SetupError as error:
                reason = str(error)
        rows.append(BackendCheck(face, None if reason else _largest_error(runners[face]), reason))
    return CheckReport(tuple(rows))


def _without(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None


def _no_driver() -> str | None:
    from ..cuda import driver

    try:
        driver.library()
    except (SetupError, InputError) as error:
        return str(error)
    return None


def _no_onnxruntime_headers() -> str | None:
    try:
        custom_op.include_folder()
    except SetupError as error:
        return str(error)
    return None


def _inputs(size: ScanShape) -> dict[str, np.ndarray]:
    normal = np.random.default_rng(0).standard_normal
    batch, length, channels, groups, state = size
    shapes = [(batch, length, channels)] * 2 + [(channels, state)] + [(batch, length, groups, state)] * 2
    arrays = [normal(shape).astype(np.float32) for shape in (*shapes, (channels,), (channels,))]
    arrays[2] = -np.exp(arrays[2])
    return dict(zip(INPUTS, arrays, strict=True))


def _largest_error(run: Callable[[dict[str, np.ndarray]], np.ndarray]) -> float:
    errors = []
    for size in SHAPES:
        arrays = _inputs(size)
        wanted = reference.selective_scan(**arrays)
        error = np.abs(run(arrays) - wanted).max() / np.abs(wanted).max()
        # NaN must fail, and max() would drop it
        errors.append(float(error) if np.isfinite(error) else float("inf"))
    return max(errors)


def _with_kernel(arrays: dict[str, np.ndarray]) -> np.ndarray:
    u, b = arrays["u"], arrays["B"]
    y = np.full_like(u, np.nan)
    size = ScanShape(*u.shape, *b.shape[2:])
    cpu_kernel.forward(size, "float32", 0, [arrays[name].ctypes.data for name in INPUTS], y.ctypes.data)
    return y


def _onnxruntime(*libraries: Path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise SetupError("the installed ONNX Runtime is broken: it has no InferenceSession; see mambapro env")
    from .onnx.node import scan_model

    options = onnxruntime.SessionOptions()
    for library in libraries:
        options.register_custom_ops_library(str(library))
    model = scan_model().SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(None, arrays)[0]


def _onnxruntime_operator() -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    return _onnxruntime(custom_op.build())


def _openvino() -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    import openvino

    from .onnx.node import scan_model

    extension.build()
    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(extension.read_model(core, scan_model()), "CPU", hint)
    return lambda arrays: compiled(arrays)[0]
