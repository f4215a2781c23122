"""Worker that builds one engine.

It is a separate process because TensorRT may abort its process, its plugin registry lives as long as the process, and
its memory is released only at the end.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...common.machine.memory import peak_memory
from ...common.worker_process import Emit, serve
from ...errors import ExportError, MambaProError, SetupError
from ...plugins.tensorrt.importing import import_module
from ...plugins.tensorrt.versions import Generation, generation_of
from . import timing_cache
from .builder_config import builder_config, cache_folder_of, capabilities_of
from .builder_progress import Percent, monitor
from .messages import BuildRequest, BuildResult
from .network import parsed_network, plugin_layers
from .plugin import register_plugin

#: TensorRT's messages about missing memory, in lower case.
_NO_MEMORY = ("out of memory", "outofmemory", "bad_alloc", "insufficient memory", "cudaerrormemoryallocation")


def build(trt: Any, job: BuildRequest, emit: Emit) -> BuildResult:
    """Build an engine with the module `trt` into the job's file.

    Raises:
        InputError: the job needs features that this version lacks.
        SetupError: an unsupported version, no plugin, or too little memory.
        ExportError: the parser or the builder rejects the model.
    """
    generation = generation_of(trt)
    logger = _logger(trt, emit)
    capabilities = capabilities_of(trt, job, generation)
    plugin = register_plugin(trt, job, capabilities, emit)
    builder = trt.Builder(logger)
    network, parser = parsed_network(trt, builder, logger, job, generation, plugin)
    layers, plugins = network.num_layers, plugin_layers(trt, network)
    config = builder_config(trt, builder, network, job, generation, plugin)
    config.progress_monitor = monitor(trt, Percent(lambda percent: emit("percent", percent)))
    seconds = _write_plan(trt, builder, network, config, job, generation, logger)
    del parser
    return BuildResult(
        version=trt.__version__,
        layers=layers,
        plugin_layers=plugins,
        capabilities=capabilities,
        plugin=plugin.kind,
        front=plugin.front,
        plugin_library=None if plugin.library is None else str(plugin.library),
        seconds=seconds,
        peak_memory=peak_memory() or 0,
    )


def _write_plan(
    trt: Any, builder: Any, network: Any, config: Any, job: BuildRequest, generation: Generation, logger: Any
) -> float:
    """Build and write the engine; returns the seconds that the builder took."""
    cache = None
    if not generation.rtx:
        assert job.gpu is not None
        cache = timing_cache.cache_file(cache_folder_of(job), trt.__version__, *job.gpu)
        timing_cache.load(config, cache)
    started = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - started
    if plan is None:
        raise _failure(trt, logger.errors)
    if cache is not None:
        timing_cache.store(config, cache)
    Path(job.plan).write_bytes(plan)
    return seconds


def _failure(trt: Any, errors: list[str]) -> MambaProError:
    reason = "; ".join(errors[-3:]) or "it does not say why"
    if any(words in line.lower() for line in errors for words in _NO_MEMORY):
        return SetupError(
            f"{trt.__name__} ran out of memory: {reason}. Free memory, or build with a smaller --workspace, a smaller "
            "largest batch or in fp16."
        )
    turing = any("is not supported" in line and "GEMM" in line for line in errors)
    hint = " Compute capability 7.5 has no float32 product in TensorRT-RTX: leave it out." if turing else ""
    return ExportError(f"{trt.__name__} {trt.__version__} could not build the engine: {reason}.{hint}")


def _logger(trt: Any, emit: Emit) -> Any:
    class Logger(trt.ILogger):
        """Logger that forwards warnings, and collects errors for the message."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Handle a message of TensorRT."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            elif severity != trt.ILogger.WARNING:
                return
            # only for verbose logs: a scan without plugin causes hundreds of warnings
            emit("log", ["DEBUG", message])

    return Logger()


def answer(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Build the engine of a request; events are "percent" and "log"."""
    job = BuildRequest.from_json(request)
    try:
        return asdict(build(import_module(job.library), job, emit))
    except MemoryError as error:
        raise SetupError("Python ran out of memory while the engine was built.") from error


if __name__ == "__main__":
    serve(answer)
