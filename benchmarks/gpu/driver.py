"""The package's PTX through the driver, its arguments in the order in which ahead-of-time plugins pass them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import numpy as np
from device import Buffer, make_current
from mambapro.errors import SetupError
from mambapro.plugins.selective_scan.cuda import launch
from mambapro.plugins.selective_scan.cuda.kernel_table import lanes_for
from mambapro.plugins.selective_scan.schema import INPUTS, ScanShape
from part import TYPES, NoGpu, Record, finish
from scan_cases import (
    CASES,
    GRADIENT_CASES,
    GRADIENT_LIMIT,
    LIMITS,
    PARAMETERS,
    Case,
    error_of,
    from_bfloat16,
    output_gradient,
    stored,
    to_bfloat16,
    wanted,
    wanted_gradients,
)


def size_of(case: Case) -> ScanShape:
    return ScanShape(case.batch, case.length, case.channels, case.groups, case.state)


def numbers(array: np.ndarray, kind: str) -> np.ndarray:
    """Return the float64 values of an array of an I/O type."""
    return from_bfloat16(array) if kind == "bfloat16" and array.dtype == np.uint16 else array


def forward(case: Case, kind: str, record: Record) -> None:
    arrays = stored(case, kind)
    with ExitStack() as stack:
        inputs = [stack.enter_context(Buffer(arrays[name])).address for name in INPUTS]
        for lanes in (0, *lanes_for(case.state)):
            y = stack.enter_context(Buffer(arrays["u"], fill=False))
            launch.forward(size_of(case), kind, inputs, y.address, lanes, 0)
            error = error_of(numbers(y.read(), kind), wanted(case, kind))
            record.check(f"{kind} {case} lanes {lanes or 'chosen'} y", error, LIMITS[kind])


def backward(case: Case, kind: str, record: Record) -> None:
    arrays = stored(case, kind)
    gradient = output_gradient(case)
    dy = to_bfloat16(gradient) if kind == "bfloat16" else gradient.astype(kind)
    with ExitStack() as stack:
        inputs = [stack.enter_context(Buffer(arrays[name])).address for name in INPUTS]
        outputs = {name: stack.enter_context(Buffer(arrays[name], fill=False)) for name in INPUTS}
        size = size_of(case)
        work = stack.enter_context(Buffer(np.empty(launch.workspace_bytes(size), np.uint8), fill=False))
        given = stack.enter_context(Buffer(dy))
        addresses = [outputs[name].address for name in INPUTS]
        launch.backward(size, kind, given.address, inputs, addresses, work.address, 0)
        work.read()
        expected = wanted_gradients(case, kind)
        for name, buffer in outputs.items():
            limit = GRADIENT_LIMIT if name in PARAMETERS else max(GRADIENT_LIMIT, LIMITS[kind])
            record.check(f"{kind} {case} d{name}", error_of(numbers(buffer.read(), kind), expected[name]), limit)


def run(record: Record, cases: Iterable[Case] = CASES, kinds: Iterable[str] = TYPES) -> None:
    try:
        make_current()
    except SetupError as error:
        raise NoGpu(str(error)) from None
    for case in cases:
        for kind in kinds:
            forward(case, kind, record)
            if case in GRADIENT_CASES:
                backward(case, kind, record)


if __name__ == "__main__":
    finish(run)
