"""Loading of engines: plugin registration, TensorRT's log, and its reasons for rejecting a plan."""

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
    """Return the engine of a plan and the runtime that must outlive it; `what` names file and GPU for messages.

    `host_code` allows code for the processor inside the plan.

    Raises:
        SetupError: TensorRT cannot start at all.
        ArtifactError: TensorRT rejects the plan; the message gives its build target and TensorRT's own message.
    """
    log = log_of(trt)
    log.words()
    try:
        runtime = trt.Runtime(log)
    except TypeError as error:
        # raised by the bindings if the library returned null
        raise SetupError(
            f"{trt.__name__} {trt.__version__} cannot start: {log.words()}. Most often the NVIDIA driver is older than "
            "what it needs: update the driver, or install a TensorRT for the CUDA that the driver has."
        ) from error
    # the manifest says whether the plan has such code, and only the caller whether it is trusted
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
    """Register the scan with `trt` for an engine that does not contain it; may be repeated.

    Without a library the Python plugin is used, which runs the same kernels and reads the library's serialized data.

    Raises:
        InputError: a library for an engine that has its scan elsewhere.
        SetupError: the library is for another TensorRT, or there is no way to run the scan.
    """
    if needs.plugin.kind != "external":
        if library is not None:
            raise InputError(
                f"This engine has its scan {needs.plugin.kind}; leave the plugin library {escaped(library)} out."
            )
        return
    if variant := registration.registered(trt):
        # a process can have one; all variants run the same kernels and read each other's serialized data
        logger.debug("the scan was registered before: %s", variant)
    elif library is not None:
        plugin_library.register(trt, library)
    elif reason := python_plugin.available(trt):
        raise SetupError(f"The engine needs the plugin library {escaped(needs.plugin.file)}: {reason}.")
    else:
        python_plugin.register(trt)


@cache
def log_of(trt: Any) -> Any:
    """Return the single log of a TensorRT module, which allows only one per process."""

    class Log(trt.ILogger):
        """Logger that collects errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=5)

        def log(self, severity: Any, message: str) -> None:
            """Collect a message if it is an error."""
            if severity.name in ("INTERNAL_ERROR", "ERROR"):
                self.errors.append(message.strip().rstrip("."))
            logger.debug("%s: %s", trt.__name__, message)

        def words(self) -> str:
            """Return the errors since the last call, or a text that there are none."""
            message = "; ".join(self.errors) or "it does not say why"
            self.errors.clear()
            return message

    return Log()
