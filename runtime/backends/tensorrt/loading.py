"""From a plan's bytes to an engine: the scan's plugin, TensorRT's log, and what it says where it refuses."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from ....common.foreign_text import escaped
from ....errors import ArtifactError, InputError, SetupError
from ....plugins.selective_scan.tensorrt import plugin_library, python_plugin, registration
from ...bundle.artifact import EngineNeeds

logger = logging.getLogger("mambapro")


def load_engine(trt: Any, plan: bytes, needs: EngineNeeds, what: str, host_code: bool = True) -> tuple[Any, Any]:
    """The engine of a plan and the runtime that it lives in; `what` names the file and the GPU.

    `host_code` says whether the caller trusts code for the processor that is inside the plan.

    Raises:
        SetupError: TensorRT cannot start at all.
        ArtifactError: TensorRT refuses; says what the engine was built for and TensorRT's own words.
    """
    log = log_of(trt)
    log.words()
    try:
        runtime = trt.Runtime(log)
    except TypeError as error:
        # the bindings' way to say that the library returned nothing
        raise SetupError(
            f"{trt.__name__} {trt.__version__} cannot start: {log.words()}. Most often the NVIDIA driver is older than "
            "what it needs: update the driver, or install a TensorRT for the CUDA that the driver has."
        ) from error
    # what stands beside the plan says whether it has such code, and only the caller whether that is trusted
    runtime.engine_host_code_allowed = host_code and (needs.version_compatible or needs.plugin.kind == "embedded")
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ArtifactError(
            f"{trt.__name__} {trt.__version__} cannot load {what}: {log.words()}. The engine was built with "
            f"{escaped(needs.library)} for compute capability {', '.join(needs.compute_capabilities)} on "
            f"{needs.platform}. "
            "Rebuild it on this machine from the ONNX file in the bundle: mambapro build."
        )
    return engine, runtime


def register_scan(trt: Any, needs: EngineNeeds, library: Path | None) -> None:
    """Make the scan known to `trt`, for an engine that does not carry it; again is fine.

    Without a library the Python plugin serves: it runs the same kernels and reads what the library wrote.

    Raises:
        InputError: a library for an engine that has its scan elsewhere.
        SetupError: the library is for another TensorRT, or there is no way to run the scan.
    """
    if needs.plugin.kind != "beside":
        if library is not None:
            raise InputError(
                f"This engine has its scan {needs.plugin.kind}; leave the plugin library {escaped(library)} out."
            )
        return
    if found := registration.registered(trt):
        # one process can have one; all fronts run the same kernels and read what each other wrote
        logger.debug("the scan was registered before: %s", found)
    elif library is not None:
        plugin_library.register(trt, library)
    elif reason := python_plugin.available(trt):
        raise SetupError(f"The engine needs the plugin library {escaped(needs.plugin.file)}: {reason}.")
    else:
        python_plugin.register(trt)


@cache
def log_of(trt: Any) -> Any:
    """The one log of a TensorRT module; the library wants the same for everything in a process."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=5)

        def log(self, severity: Any, message: str) -> None:
            if severity.name in ("INTERNAL_ERROR", "ERROR"):
                self.errors.append(message.strip().rstrip("."))
            logger.debug("%s: %s", trt.__name__, message)

        def words(self) -> str:
            """Errors since the last time, or that there are none."""
            found = "; ".join(self.errors) or "it does not say why"
            self.errors.clear()
            return found

    return Log()
