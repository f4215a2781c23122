"""The selective scan as a TensorRT plugin whose kernel is embedded in the engine, which is then self-contained.

For TensorRT (not RTX) from 10.9: ahead-of-time Python plugins. Python runs only during the build: it provides the
types, the splits of the states to time, and the PTX and launch of one kernel for each of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ....errors import InputError
from ..cuda.kernel_table import THREADS, kernel_name, kernel_ptx, lanes_for
from ..cuda.kernel_table import TYPES as KERNEL_TYPES
from ..schema import INPUTS
from . import registration
from .rules import (
    NAME,
    NAMESPACE,
    PARAMETERS,
    TENSORRT_TYPES,
    TENSORS,
    check_known_shapes,
    check_tensorrt_types,
    type_name,
)

FRONT = "aot"
_ID = f"{NAMESPACE}::{NAME}"


def available(trt: Any) -> str | None:
    """Return the reason why this variant cannot be used with the module `trt`, or None."""
    try:
        plugin = importlib.import_module(f"{trt.__name__}.plugin")
    except (ImportError, AttributeError) as error:
        return f"{trt.__name__} {trt.__version__} has no ahead-of-time plugins (TensorRT 10.9 and later): {error}"
    if not hasattr(plugin, "aot_impl"):
        return f"{trt.__name__} {trt.__version__} has no ahead-of-time plugins; TensorRT 10.9 is the first."
    return None


def register(trt: Any) -> None:
    """Register the plugin for `trt`'s ONNX parser in this process; may be repeated. Engines do not need it at run time.

    Raises:
        InputError: `trt` has no ahead-of-time plugins.
        SetupError: another variant is registered already.
    """
    if reason := available(trt):
        raise InputError(reason)
    if not registration.is_registered(trt, FRONT):
        define(importlib.import_module(f"{trt.__name__}.plugin"))
        registration.remember(trt, FRONT)


def define(trtp: Any, lazy: bool = False) -> None:
    """Pass the three functions of the plugin to `trtp`, the module tensorrt.plugin.

    `lazy` delays the registration until the plugin is used, as TensorRT does.
    """
    desc, outputs = trtp.TensorDesc, tuple[trtp.TensorDesc]
    kernel = tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]
    describe, tune, compiled = _functions(trtp)
    inputs = dict.fromkeys(INPUTS, desc)
    # TensorRT reads the annotations as classes, which exist only now
    describe.__annotations__ = {**inputs, "return": desc}
    tune.__annotations__ = {**inputs, "outputs": outputs, "return": list[trtp.AutoTuneCombination]}
    compiled.__annotations__ = {**inputs, "outputs": outputs, "tactic": int, "return": kernel}
    trtp.register(_ID, lazy_register=lazy)(describe)
    trtp.autotune(_ID)(tune)
    trtp.aot_impl(_ID)(compiled)


def _functions(trtp: Any) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    # TensorRT requires the inputs as named arguments, and passes them by position
    def describe(u, delta, A, B, C, D, delta_bias):  # type: ignore[no-untyped-def]
        """Return the output's description."""
        inputs = (u, delta, A, B, C, D, delta_bias)
        check_tensorrt_types([x.dtype for x in inputs])
        check_known_shapes([_known(x) for x in inputs])
        return u.like()

    def tune(u, delta, A, B, C, D, delta_bias, outputs):  # type: ignore[no-untyped-def]
        """Return the combinations of types and the tactics."""
        return [trtp.AutoTuneCombination(combinations(), "LINEAR", list(lanes_for(_state(B))))]

    def compiled(u, delta, A, B, C, D, delta_bias, outputs, tactic):  # type: ignore[no-untyped-def]
        """Return name, PTX, launch parameters and arguments of a tactic's kernel."""
        name = kernel_name(type_name(u.dtype), tactic, _state(B))
        return name, kernel_ptx(type_name(u.dtype), name), *_launch(trtp, u.shape_expr, B.shape_expr, tactic)

    return describe, tune, compiled


def combinations() -> str:
    """Return the types of inputs and output for AutoTuneCombination: one of T for all, float32 for the rest."""
    names = {ours: {"FLOAT": "FP32", "HALF": "FP16"}.get(member, member) for member, ours in TENSORRT_TYPES.items()}
    scan = "|".join(names[kind] for kind in KERNEL_TYPES)
    return ", ".join(names["float32"] if name in PARAMETERS else scan for name in TENSORS)


def _launch(trtp: Any, u: Any, b: Any, lanes: int) -> tuple[Any, Any]:
    """Return grid and scalars of a kernel for symbolic u (batch, length, channels), B (batch, length, groups, state).

    The same grid as kernel_table.grid has for numbers.
    """
    (batch, length, channels), groups, state = u, b[2], b[3]
    params = trtp.KernelLaunchParams()
    params.grid_x = groups * trtp.cdiv(channels // groups, THREADS // lanes)
    params.grid_y = batch
    params.block_x = THREADS
    scalars = trtp.SymIntExprs(4)
    for i, size in enumerate((length, channels, groups, state)):
        scalars[i] = trtp.SymInt32(size)
    return params, scalars


def _known(desc: Any) -> list[int | None]:
    """Return the sizes of a TensorDesc, None for unknown ones."""
    return [None if size.is_fake or not size.is_constant else size.constant_value() for size in desc.shape_expr]


def _state(b: Any) -> int:
    """Return the number of states of a scan, which selects the kernel.

    Raises:
        InputError: it is not fixed.
    """
    state = b.shape[3]
    if state < 0:
        raise InputError("selective scan: the number of states must be fixed where the kernel is put into the engine.")
    return int(state)
