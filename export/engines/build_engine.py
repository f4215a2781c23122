"""Build of a TensorRT or TensorRT-RTX engine from typed ONNX: a plain plan file for any of their programs."""

from __future__ import annotations

import logging
import platform
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import onnx

from ...common.files.atomic import sha256_of, write_atomically
from ...common.foreign_text import escaped
from ...common.machine.memory import free_memory
from ...common.progress import Track, silent
from ...common.worker_process import WorkerEnded, WorkerProcess
from ...errors import ExportError, InputError, SetupError
from ...plugins.cuda.memory import Gpu
from ...plugins.selective_scan.schema import DOMAIN, OP_TYPE
from ...runtime.bundle.artifact import Build, EngineNeeds, Plugin
from .build_memory import require_memory, usual_need
from .engine_options import EngineOptions
from .engine_report import EngineReport
from .gpu import gpu_at_hand
from .messages import BuildRequest, BuildResult

log = logging.getLogger("mambapro")

_WORKER = "mambapro.export.engines.worker"


def build_engine(
    onnx_file: Path, engine_file: Path, options: EngineOptions | None = None, track: Track = silent
) -> EngineReport:
    """Build an engine in a process of its own; `engine_file` appears when it is complete, or not at all.

    Args:
        onnx_file: typed ONNX: float32, or from `typed` and the calibration.
        engine_file: replaced if it exists.
        options: of the engine.
        track: shows percents.

    Raises:
        InputError: inconsistent or unsupported options.
        SetupError: the library is missing or unsupported, no GPU (TensorRT), no plugin of the requested kind, too
            little memory or disk space.
        ExportError: the library rejects the model, or ended the process.
    """
    options = options or EngineOptions()
    options.require_consistent()
    if not onnx_file.is_file():
        raise InputError(f"There is no ONNX file {escaped(onnx_file)}.")
    require_memory(onnx_file)
    gpu = None if options.rtx else gpu_at_hand()
    scans = _scans(onnx_file)
    started = time.perf_counter()
    built: list[BuildResult] = []

    def write(path: Path) -> None:
        """Build the engine at a temporary path."""
        job = _job(onnx_file, path, options, scans, None if gpu is None else (gpu.name, gpu.capability))
        built.append(_run(job, track))

    write_atomically(engine_file, write)
    return _report(engine_file, options, gpu, built[0], time.perf_counter() - started)


def _scans(onnx_file: Path) -> int:
    nodes = onnx.load(onnx_file).graph.node
    return sum(node.domain == DOMAIN and node.op_type == OP_TYPE for node in nodes)


def _job(onnx_file: Path, plan: Path, options: EngineOptions, scans: int, gpu: tuple[str, str] | None) -> BuildRequest:
    profile = options.profile
    return BuildRequest(
        onnx=str(onnx_file.absolute()),
        plan=str(plan),
        library=options.library,
        batches=(profile.smallest, profile.usual, profile.largest),
        scans=scans,
        compute_capabilities=options.compute_capabilities,
        hardware=options.hardware,
        version_compatible=options.version_compatible,
        plugin=options.plugin,
        plugin_library=None if options.plugin_library is None else str(options.plugin_library.absolute()),
        workspace=options.workspace,
        timing_cache=None if options.timing_cache is None else str(options.timing_cache.absolute()),
        tf32=options.tf32,
        gpu=gpu,
    )


def _run(job: BuildRequest, track: Track) -> BuildResult:
    """Run the worker to its end, and convert all kinds of ends."""
    results: list[BuildResult] = []
    with WorkerProcess(_WORKER, job.library) as worker:
        worker.send(asdict(job))
        try:
            for _ in track(_percents(worker, results), f"building the engine with {job.library}", 100):
                pass
        except WorkerEnded as error:
            raise _worker_failed(job, error) from None
    return results[0]


def _percents(worker: WorkerProcess, results: list[BuildResult]) -> Iterator[None]:
    """Yield once for every percent; other events go to the log or into `results`."""
    shown = 0
    for kind, value in worker.events():
        if kind == "percent":
            yield from [None] * max(0, value - shown)
            shown = max(shown, value)
        elif kind == "log":
            log.log(logging.getLevelName(value[0]), "%s", value[1])
        else:
            results.append(BuildResult.from_json(value))
    yield from [None] * (100 - shown)


def _worker_failed(job: BuildRequest, error: WorkerEnded) -> Exception:
    code, words = error.code, f" It last said: {error.said}" if error.said else ""
    if code == -signal.SIGKILL:
        need, free = usual_need(Path(job.onnx).stat().st_size), free_memory()
        there = "" if free is None else f"; {free / 1e9:.1f} GB are free now"
        return SetupError(
            "The process that builds the engine was killed, most likely for lack of memory: a build of this file "
            f"usually takes {need / 1e9:.1f} GB{there}. Free memory, build in fp16, or on another machine.{words}"
        )
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    return ExportError(f"{job.library} ended the process that builds the engine {how}; no engine was made.{words}")


def _report(file: Path, options: EngineOptions, gpu: Gpu | None, built: BuildResult, seconds: float) -> EngineReport:
    library = None if built.plugin_library is None else Path(built.plugin_library)
    external = library if built.plugin == "external" else None
    # the hash of an embedded one stays: it marks host code in the engine
    plugin = Plugin(
        built.plugin,
        None if external is None else external.name,
        None if library is None else sha256_of(library),
    )
    needs = EngineNeeds(
        library=built.version,
        compute_capabilities=built.capabilities,
        hardware="compute-capability" if options.rtx else options.hardware,
        version_compatible=options.version_compatible,
        platform=f"{sys.platform}-{platform.machine().lower()}",
        plugin=plugin,
        gpu=None if gpu is None else gpu.name,
    )
    return EngineReport(
        file=file,
        build=Build(seconds, file.stat().st_size, built.layers, built.plugin_layers),
        needs=needs,
        profile=options.profile,
        plugin_front=built.front,
        plugin_library=external,
        builder_seconds=built.seconds,
        peak_memory=built.peak_memory,
    )
