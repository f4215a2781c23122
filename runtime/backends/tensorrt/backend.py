"""TensorRT and TensorRT-RTX engines on an NVIDIA GPU, using only their bindings and the driver."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ....common.foreign_text import escaped
from ....errors import ArtifactError, InputError, SetupError
from ....plugins.cuda.memory import Device
from ....plugins.tensorrt.importing import import_supported
from ...bundle.artifact import TENSORRT, TENSORRT_RTX, EngineNeeds, Sidecar
from ..process import ProcessBound, never_free
from .buffers import BatchRange, engine_batches, engine_tensors, range_for
from .contexts import records_graphs_itself
from .kernel_cache import Kernels, kernel_file
from .loading import load_engine, register_scan
from .slot import Lane

logger = logging.getLogger("mambapro")


class TensorRtBackend(ProcessBound):
    """Engine of TensorRT or TensorRT-RTX. `run` may be called by several threads; each gets a stream of its own.

    An engine is a program: TensorRT executes its content on this machine, on the GPU and on the processor. Load only
    engines that you built, or got from someone you trust, after comparing the hash.

    Attributes:
        smallest_batch, largest_batch: `run` takes batches of this many samples.

    Args:
        engine: path of the plan.
        sidecar: manifest of the engine.
        library: "tensorrt" or "tensorrt_rtx"; by default the one of the sidecar's target.
        device: number of the GPU.
        threads: must be None: the processor's threads do not count here.
        plugin_library: the shared library with the selective scan, for an external plugin. It is code, too.
            Without it the scan runs by way of this package's Python plugin, at some microseconds for each call of it.
        host_code: let TensorRT load code for the processor that is inside the plan, where the sidecar tells of it: an
            embedded plugin library, or the runtime of a version-compatible engine.
        cuda_graphs: record the work of a batch that comes back, and replay it from then on.

    Raises:
        InputError: an argument that cannot be used.
        SetupError: no driver, no GPU, no TensorRT, one of another version, or not enough memory.
        ArtifactError: there is no engine, or TensorRT cannot load it here.
    """

    def __init__(
        self,
        engine: Path,
        sidecar: Sidecar,
        library: str | None = None,
        device: int = 0,
        threads: int | None = None,
        plugin_library: Path | None = None,
        cuda_graphs: bool = True,
        host_code: bool = True,
    ) -> None:
        needs = _needs(sidecar)
        self.name = _library_of(sidecar, library)
        if threads is not None:
            raise InputError(
                f"threads counts the processor's threads, {escaped(self.name)} runs on the GPU; leave it out."
            )
        self.threads: int | None = threads
        plan = _read(engine)
        self._trt = import_supported(self.name)
        self._cuda_graphs = cuda_graphs
        self._users, self._closed = 0, False
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._held = _Held(Device(device))
        self._device, self._idle = self._held.device, self._held.idle
        with ExitStack() as failed:
            failed.callback(self._held.close)
            self.provider = f"{self._device.gpu.name} (compute capability {self._device.gpu.capability})"
            with self._device.current():
                register_scan(self._trt, needs, plugin_library)
                if records_graphs_itself(self._trt):
                    self._held.kernels = Kernels(kernel_file(self._trt.__version__, self._device.gpu))
                self._held.loaded = load_engine(self._trt, plan, needs, f"{engine} on {self.provider}", host_code)
                self._tensors = engine_tensors(self._trt, self._held.loaded[0])
                self._ranges = engine_batches(self._held.loaded[0], self._tensors)
                # now, so that too little GPU memory is reported at once
                self._idle.append(self._new_lane())
            failed.pop_all()
        self._dropped = weakref.finalize(self, _free_dropped, self._held)
        # the end of the process frees everything, and a thread may still be in a call
        self._dropped.atexit = False
        self.inputs = tuple(tensor.name for tensor in self._tensors if tensor.is_input)
        self.outputs = tuple(tensor.name for tensor in self._tensors if not tensor.is_input)
        self.smallest_batch = min(found.smallest for found in self._ranges)
        self.largest_batch = max(found.largest for found in self._ranges)
        self.bind()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the engine.

        Returns:
            outputs by name, (batch, ...) each.

        Raises:
            InputError: the backend is closed, or the engine was not built for a batch of this size.
            ArtifactError: the engine does not take these inputs.
            SetupError: TensorRT or the driver failed, for example for lack of memory.
        """
        self.require_own_process()
        batch = self._check(feeds)
        profile = range_for(self._ranges, batch)
        if profile is None:
            taken = " and ".join(f"{found.smallest} to {found.largest}" for found in self._ranges)
            raise InputError(f"The engine takes batches of {taken} samples, not {batch}. Choose another batch size.")
        with self._lock:
            if self._closed:
                raise InputError("The model is closed. Open it again to use it.")
            self._users += 1
        try:
            with self._device.current():
                return self._run(feeds, batch, profile)
        finally:
            with self._lock:
                self._users -= 1
                last = self._closed and not self._users
            if last:
                self._free()

    def close(self) -> None:
        """Free the engine, after the last call in progress."""
        if self.elsewhere:
            return
        with self._lock:
            last = not self._closed and not self._users
            self._closed = True
        if last:
            self._free()

    def after_fork(self) -> None:
        """Keep the engine and the GPU's memory untouched: both belong to the parent."""
        self._dropped.detach()
        never_free([self._held, self._trt])
        self._lock, self._making = threading.Lock(), threading.Lock()

    def _free(self) -> None:
        if self._dropped.detach():
            self._held.close()

    def _run(self, feeds: Mapping[str, np.ndarray], batch: int, profile: BatchRange) -> dict[str, np.ndarray]:
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        lane = lane or self._new_lane()
        try:
            outputs = lane.run(feeds, batch, profile)
        except BaseException:
            # Remaining work of a failed call must not reach the next one; the first error is reported.
            with suppress(SetupError):
                lane.close()
            raise
        with self._lock:
            self._idle.append(lane)
        return outputs

    def _new_lane(self) -> Lane:
        with self._making:
            held = self._held
            return Lane(self._trt, held.device, held.loaded[0], self._tensors, self._cuda_graphs, held.kernels)

    def _check(self, feeds: Mapping[str, np.ndarray]) -> int:
        """Return the batch size of valid feeds."""
        wrong = sorted(set(feeds) ^ set(self.inputs))
        if wrong:
            raise ArtifactError(
                f"The engine takes {', '.join(self.inputs)}, not {', '.join(feeds)}: {', '.join(wrong)} "
                "should not be there or is missing. Is its metadata of another model?"
            )
        for tensor in self._tensors:
            value = feeds.get(tensor.name)
            if value is not None and (value.dtype != tensor.dtype or value.shape[1:] != tensor.shape or not value.ndim):
                raise ArtifactError(
                    f"The engine takes {escaped(tensor.name)} as {tensor.dtype} (batch, "
                    f"{', '.join(map(str, tensor.shape))}), "
                    f"not {value.dtype} {value.shape}. Is its metadata of another model?"
                )
        lengths = {name: len(value) for name, value in feeds.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            sizes = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ArtifactError(f"The inputs must all hold the same number of samples, 1 or more, not {sizes}.")
        return next(iter(lengths.values()))


class _Held:
    """GPU resources of a backend, without a reference to it, so that a dropped backend can be freed."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.idle: list[Lane] = []
        #: The engine, and the runtime that must outlive it.
        self.loaded: tuple[Any, ...] = ()
        self.kernels: Kernels | None = None

    def close(self) -> None:
        """Free everything, even after errors."""
        lanes = list(self.idle)
        self.idle.clear()
        with self.device.current(), ExitStack() as stack:
            # after the last context that uses them
            stack.callback(setattr, self, "kernels", None)
            for lane in lanes:
                stack.callback(lane.close)
            self.loaded = ()


def _free_dropped(held: _Held) -> None:
    """Free the resources of a backend that was not closed."""
    try:
        held.close()
    except SetupError as error:
        # there is no caller to raise it to
        logger.warning("An engine that was dropped without close() could not be freed: %s", error)


def _needs(sidecar: Sidecar) -> EngineNeeds:
    if sidecar.engine is None:
        raise ArtifactError(
            f"The sidecar of {escaped(sidecar.file)} does not say what its engine needs. Build it again."
        )
    return sidecar.engine


def _library_of(sidecar: Sidecar, asked: str | None) -> str:
    found = {TENSORRT: "tensorrt", TENSORRT_RTX: "tensorrt_rtx"}.get(sidecar.target)
    if found is None or asked not in (None, found):
        raise InputError(f"{escaped(sidecar.file)} was built for {sidecar.target}, not for {asked or 'TensorRT'}.")
    return found


def _read(engine: Path) -> bytes:
    try:
        return engine.read_bytes()
    except OSError as error:
        raise ArtifactError(f"The engine {escaped(engine)} cannot be read: {error.strerror or error}.") from error
