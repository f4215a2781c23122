"""Latency measurement of a model in its target runtime."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from ...common.files.locks import temporary_folder
from ...errors import InputError
from ...graph.quantize import ONNXRUNTIME, OPENVINO
from ...runtime.backends.base import Backend
from ...runtime.backends.onnxruntime import OnnxRuntimeBackend
from ...runtime.backends.openvino import BF16, OpenVinoBackend

#: Median milliseconds of one batch.
Clock = Callable[[onnx.ModelProto], float]

TARGETS = (ONNXRUNTIME, OPENVINO)

WARMUP, LEAST_RUNS = 2, 7


def clock(target: str, feeds: Mapping[str, np.ndarray], batch: int = 1, seconds: float = 1.0) -> Clock:
    """Return a timer for `target`: the first `batch` samples of `feeds`, LEAST_RUNS times and for `seconds` at least.

    OpenVINO computes what is not in int8 in bf16 where the processor can, as it does for an int8 artifact.

    Raises:
        InputError: an unknown target, or fewer samples than the batch.
    """
    if target not in TARGETS:
        raise InputError(f"Sensitivity is timed in {' or '.join(TARGETS)}, not in {target!r}.")
    samples = {name: np.ascontiguousarray(value[:batch]) for name, value in feeds.items()}
    lengths = {len(value) for value in samples.values()}
    if batch < 1 or lengths != {batch}:
        raise InputError(f"A batch of {batch} was to be timed, of {min(lengths, default=0)} samples.")

    def milliseconds(model: onnx.ModelProto) -> float:
        # a killed run leaves the whole model: the next one removes it
        with temporary_folder("clock") as folder:
            file = folder / "model.onnx"
            onnx.save_model(model, file)
            backend: Backend = OnnxRuntimeBackend(file, "cpu") if target == ONNXRUNTIME else OpenVinoBackend(file, BF16)
            try:
                return _median(backend, {name: samples[name] for name in backend.inputs}, seconds)
            finally:
                backend.close()

    return milliseconds


def _median(backend: Backend, feeds: Mapping[str, np.ndarray], seconds: float) -> float:
    for _ in range(WARMUP):
        backend.run(feeds)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < LEAST_RUNS or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        backend.run(feeds)
        times.append((time.perf_counter() - before) * 1000.0)
    return statistics.median(times)
