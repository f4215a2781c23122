"""Engines of TensorRT and TensorRT-RTX, whichever is installed: built with each front of the plugin, run, compared.

Both scans of the full-size model in one engine, dynamic in the batch, in each type; and beside them the same file
without the plugin, where the function's body is built instead.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from device import Buffer, make_current, own_stream, synchronize
from driver import numbers
from mambapro.errors import MambaProError, SetupError
from mambapro.plugins.cuda import driver as cuda_driver
from mambapro.plugins.cuda.driver import check
from mambapro.plugins.cuda.memory import gpu
from mambapro.plugins.selective_scan.tensorrt import variants
from mambapro.plugins.tensorrt import importing
from mambapro.plugins.tensorrt.versions import TENSORRT_RTX, rtx_capabilities
from mambapro.runtime.backends.tensorrt.contexts import create_context
from mambapro.runtime.backends.tensorrt.loading import log_of
from part import BATCHES, FULL_SIZE, TYPES, NoGpu, Record, Skipped, finish
from scan_cases import LIMITS, Case, error_of, stored, wanted

#: No plugin: TensorRT builds the function's body.
BODY = "function"
RUNS = 31


class Engine:
    """A built engine and its context, on a stream."""

    def __init__(self, trt: Any, model: Path, stream: int) -> None:
        self.log, self.stream = log_of(trt), stream
        builder = trt.Builder(self.log)
        flags = 0
        if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
            flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flags)
        parser = trt.OnnxParser(network, self.log)
        if not parser.parse_from_file(str(model)):
            raise RuntimeError("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
        config = builder.create_builder_config()
        config.add_optimization_profile(_profile(builder, network))
        # the function's products are held to float32's limit
        config.clear_flag(trt.BuilderFlag.TF32)
        layers = (network.get_layer(i) for i in range(network.num_layers))
        self.plugins = sum(layer.type == trt.LayerType.PLUGIN_V3 for layer in layers)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeError(f"the builder gave no engine: {self.log.words()}")
        self.runtime = trt.Runtime(self.log)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise RuntimeError(f"the engine cannot be loaded: {self.log.words()}")
        self.context = self._context(trt)
        if self.context is None:
            raise RuntimeError(f"the engine gave no context: {self.log.words()}")

    def _context(self, trt: Any) -> Any:
        if trt.__name__ == TENSORRT_RTX:
            # as the package runs it: on the kernels of the shape from the first run on
            return create_context(trt, self.engine, cuda_graphs=False, memory=0)
        return self.engine.create_execution_context()

    def bind(self, name: str, array: np.ndarray, address: int, is_input: bool) -> None:
        if is_input:
            self.context.set_input_shape(name, array.shape)
        self.context.set_tensor_address(name, address)

    def run(self) -> None:
        if not self.context.execute_async_v3(self.stream):
            raise RuntimeError(f"the engine did not run: {self.log.words()}")


def _profile(builder: Any, network: Any) -> Any:
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        if -1 in shape:
            sizes = (1, BATCHES[0], BATCHES[-1])
            profile.set_shape(tensor.name, *(tuple(n if x < 0 else x for x in shape) for n in sizes))
    return profile


def milliseconds(engine: Engine) -> float:
    """Median time of a run, between events on the engine's stream."""
    cuda, stream = cuda_driver.library(), ctypes.c_void_p(engine.stream)
    events = [ctypes.c_void_p() for _ in range(2)]
    for event in events:
        check(cuda.cuEventCreate(ctypes.byref(event), 0), "cuEventCreate")
    times = []
    for _ in range(RUNS):
        check(cuda.cuEventRecord(events[0], stream), "cuEventRecord")
        engine.run()
        check(cuda.cuEventRecord(events[1], stream), "cuEventRecord")
        check(cuda.cuEventSynchronize(events[1]), "cuEventSynchronize")
        passed = ctypes.c_float()
        check(cuda.cuEventElapsedTime(ctypes.byref(passed), *events), "cuEventElapsedTime")
        times.append(passed.value)
    return statistics.median(times)


def cannot_build_here(trt: Any) -> str | None:
    """Return the reason why TensorRT-RTX cannot build for this GPU, which it reports only by a missing engine."""
    if trt.__name__ != TENSORRT_RTX or gpu().capability in rtx_capabilities(trt):
        return None
    known, here = ", ".join(rtx_capabilities(trt)), gpu()
    return f"{trt.__name__} {trt.__version__} builds for compute capability {known}; {here.name} has {here.capability}"


def try_engine(trt: Any, front: str, kind: str, record: Record, folder: Path, stream: int) -> None:
    """Build, run and time one engine; its errors against double precision into the record."""
    from tensorrt_models import scans

    engine = Engine(trt, scans(folder / f"{kind}.onnx", kind, FULL_SIZE), stream)
    name = f"{trt.__name__} {front} {kind}"
    wanted_plugins = 0 if front == BODY else len(FULL_SIZE)
    record.hold(f"{name} has {engine.plugins} plugin layers", engine.plugins == wanted_plugins)
    for batch in BATCHES:
        with ExitStack() as stack:
            outputs = []
            for i, sizes in enumerate(FULL_SIZE):
                case = Case(batch, *sizes)
                arrays = stored(case, kind)
                for key, array in arrays.items():
                    buffer = stack.enter_context(Buffer(array))
                    engine.bind(f"{key}_{i}", array, buffer.address, True)
                y = stack.enter_context(Buffer(arrays["u"], fill=False))
                engine.bind(f"y_{i}", arrays["u"], y.address, False)
                outputs.append((case, y))
            # the inputs come by the default stream
            synchronize()
            engine.run()
            if batch == BATCHES[0]:
                for case, y in outputs:
                    error = error_of(numbers(y.read(), kind), wanted(case, kind))
                    record.check(f"{name} {case} y", error, LIMITS[kind])
            times = {"what": "engine of both scans", "by": f"{trt.__name__} {front}", "type": kind, "batch": batch}
            record.times.append({**times, "ms": milliseconds(engine)})


def one_front(module: str, front: str) -> None:
    """Run one plugin variant in every type, in a child process, since a registry holds only one of them."""

    def run(record: Record) -> None:
        trt = importing.import_module(module)
        if not hasattr(trt, "Builder"):
            raise Skipped(f"{module} {trt.__version__} is the dispatch runtime or bindings alone")
        if reason := cannot_build_here(trt):
            raise Skipped(reason)
        if front != BODY:
            variants.register(trt, front)
        make_current()
        record.notes.append(f"{module} {trt.__version__}")
        with tempfile.TemporaryDirectory() as folder, own_stream() as stream:
            for kind in TYPES:
                try_engine(trt, front, kind, record, Path(folder), stream)

    finish(run)


def _child(module: str, front: str, record: Record) -> bool:
    """Run a front in a process of its own; True if it was tried."""
    command = [sys.executable, __file__, module, front]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        record.hold(f"{module} {front} ended with {done.returncode}: {done.stderr[-400:]}", False)
        return True
    if found["status"] == "skipped":
        record.notes.append(f"{module} {front}: not tried, {found['reason']}")
        return False
    record.count += found["count"]
    record.failures += found["failures"]
    record.times += found["times"]
    record.notes += [note for note in found["notes"] if note not in record.notes]
    if found["worst"] > record.worst:
        record.worst, record.worst_of = found["worst"], found["worst_of"]
    return True


def run(record: Record) -> None:
    try:
        make_current()
    except SetupError as error:
        raise NoGpu(str(error)) from None
    tried = False
    for module in importing.MODULES:
        try:
            reasons = {BODY: None, **variants.unavailable(importing.import_module(module))}
        except MambaProError as error:
            record.notes.append(str(error))
            continue
        for front, reason in reasons.items():
            if reason:
                record.notes.append(f"{module} {front}: not tried, {reason}")
            else:
                tried |= _child(module, front, record)
    if not tried:
        raise Skipped("; ".join(record.notes))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one_front(*sys.argv[1:])
    else:
        finish(run)
