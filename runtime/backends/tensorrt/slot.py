"""Per-call execution state of an engine: stream, buffers, execution contexts and CUDA graphs.

A backend has as many slots as concurrent calls; a slot serves one call at a time. All TensorRT contexts of a slot share
one block of working memory, since never more than one of them runs.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import numpy as np

from ....common.foreign_text import escaped
from ....errors import ArtifactError, SetupError
from ....plugins.cuda.memory import Device
from .buffers import BatchRange, Buffers, Tensor
from .contexts import create_context, records_graphs_itself, working_memory
from .kernel_cache import Kernels
from .loading import log_of

#: Most graphs of one slot; each holds an execution context.
_GRAPHS = 8

logger = logging.getLogger("mambapro")


class Lane:
    """Execution slot. The GPU's context must be current on the thread that creates, runs or closes it.

    Args:
        trt: module tensorrt or tensorrt_rtx.
        engine: the loaded engine; `tensors` are its inputs and outputs.
        cuda_graphs: record the work of a repeated batch size, and replay it from then on.
        kernels: the cache of TensorRT-RTX, None for TensorRT.

    Raises:
        SetupError: memory is short, or the driver refuses.
    """

    def __init__(
        self,
        trt: Any,
        device: Device,
        engine: Any,
        tensors: Sequence[Tensor],
        cuda_graphs: bool,
        kernels: Kernels | None = None,
    ) -> None:
        self._trt, self._device, self._engine, self._words = trt, device, engine, log_of(trt).words
        self._tensors, self._cuda_graphs, self._kernels = tensors, cuda_graphs, kernels
        self._recording = cuda_graphs and not records_graphs_itself(trt)
        self._contexts: dict[int, Any] = {}
        #: By batch: the graph, and the context it was recorded from, which nothing else may use.
        self._graphs: OrderedDict[int, tuple[int, Any]] = OrderedDict()
        self._seen: set[int] = set()
        with ExitStack() as owned:
            self._stream = device.stream()
            owned.callback(device.destroy_stream, self._stream)
            self._working = 0
            if size := working_memory(trt, engine):
                self._working = device.allocate(size)
                owned.callback(device.free, self._working)
            self._buffers = Buffers(device, tensors)
            owned.callback(self._buffers.close)
            owned.callback(self._contexts.clear)
            owned.callback(self._forget_graphs)
            self._owned = owned.pop_all()

    @property
    def graphs(self) -> tuple[int, ...]:
        """Batch sizes with a recorded graph."""
        return tuple(self._graphs)

    def run(self, feeds: Mapping[str, np.ndarray], batch: int, profile: BatchRange) -> dict[str, np.ndarray]:
        """Run the engine on checked inputs.

        Returns:
            outputs by name, (batch, ...) each.

        Raises:
            SetupError: the driver or TensorRT failed. The slot must be closed then.
            ArtifactError: the engine's outputs are not of the batch.
        """
        if self._buffers.grow(batch):
            self._forget_graphs()
        for tensor in self._tensors:
            if tensor.is_input:
                self._buffers.host(tensor, batch)[...] = feeds[tensor.name]
        if batch in self._graphs:
            self._graphs.move_to_end(batch)
            self._device.launch(self._graphs[batch][0], self._stream)
            self._device.synchronize(self._stream)
        else:
            self._run_and_record(batch, profile)
        return {t.name: self._buffers.host(t, batch).copy() for t in self._tensors if not t.is_input}

    def close(self) -> None:
        """Free everything, even after errors."""
        self._owned.close()
        self._engine = self._kernels = None

    def _run_and_record(self, batch: int, profile: BatchRange) -> None:
        # A batch size that occurs once, like the rest of a list, is not recorded.
        seen = batch in self._seen
        record = self._recording and seen
        with nullcontext() if seen or self._kernels is None else self._kernels.compiling():
            context = self._new_context(profile) if record else self._context(profile)
            self._bind(context, batch)
            # This run also triggers TensorRT's shape-dependent setup, which is not allowed while recording.
            self._enqueue(context, batch)
            self._device.synchronize(self._stream)
        self._seen.add(batch)
        if record:
            self._record(context, batch)

    def _context(self, profile: BatchRange) -> Any:
        if profile.index not in self._contexts:
            self._contexts[profile.index] = self._new_context(profile)
        return self._contexts[profile.index]

    def _new_context(self, profile: BatchRange) -> Any:
        context = create_context(self._trt, self._engine, self._cuda_graphs, self._working, self._kernels)
        if context is None:
            raise SetupError(f"TensorRT made no execution context: {self._words()}. Is the GPU's memory short?")
        try:
            # the bindings raise if the library fails
            taken = context.set_optimization_profile_async(profile.index, self._stream)
        except RuntimeError:
            taken = False
        if not taken:
            raise SetupError(f"TensorRT did not take the engine's profile {profile.index}: {self._words()}.")
        self._device.synchronize(self._stream)
        return context

    def _bind(self, context: Any, batch: int) -> None:
        for tensor in self._tensors:
            taken = not tensor.is_input or context.set_input_shape(tensor.name, (batch, *tensor.shape))
            if not taken or not context.set_tensor_address(tensor.name, self._buffers.address(tensor)):
                raise SetupError(
                    f"TensorRT did not take {escaped(tensor.name)} with a batch of {batch}: {self._words()}."
                )
        for tensor in self._tensors:
            shape = tuple(context.get_tensor_shape(tensor.name))
            if shape != (batch, *tensor.shape):
                raise ArtifactError(
                    f"The engine gives {escaped(tensor.name)} the shape {list(shape)} for a batch of {batch}, not "
                    f"{[batch, *tensor.shape]}. It is not the engine of a mambapro bundle."
                )

    def _enqueue(self, context: Any, batch: int) -> None:
        self._buffers.upload(batch, self._stream)
        if not context.execute_async_v3(self._stream):
            raise SetupError(f"TensorRT failed with a batch of {batch}: {self._words()}.")
        self._buffers.download(batch, self._stream)

    def _record(self, context: Any, batch: int) -> None:
        if len(self._graphs) >= _GRAPHS:
            _, (oldest, alive) = self._graphs.popitem(last=False)
            self._device.destroy_graph(oldest)
            del alive
        try:
            self._device.begin_capture(self._stream)
            try:
                self._enqueue(context, batch)
            except SetupError:
                self._device.abandon_capture(self._stream)
                raise
            self._graphs[batch] = self._device.end_capture(self._stream), context
        except SetupError as error:
            # The batch itself is done; without graphs every launch costs the processor more, the numbers are the same.
            self._recording = False
            logger.warning("This engine runs without CUDA graphs: its work cannot be recorded. %s", error)

    def _forget_graphs(self) -> None:
        """Discard the graphs, which hold the addresses of their recording."""
        held = list(self._graphs.values())
        self._graphs.clear()
        self._seen.clear()
        # the contexts in `held` end after their graphs
        with ExitStack() as stack:
            for graph, _ in held:
                stack.callback(self._device.destroy_graph, graph)
