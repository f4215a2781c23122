"""Choice of the plugin form for an engine's scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.foreign_text import escaped
from ...common.worker_process import Emit
from ...errors import SetupError
from ...plugins.selective_scan.tensorrt import aot_plugin, plugin_library, python_plugin, variants
from .messages import BuildRequest


@dataclass(frozen=True)
class ChosenPlugin:
    """Chosen form: `kind` as in the manifest, the registered variant, and its library if it has one."""

    kind: str
    front: str | None = None
    library: Path | None = None

    @property
    def serialized(self) -> list[str]:
        """Libraries to embed in the engine."""
        return [str(self.library)] if self.kind == "embedded" and self.library is not None else []


def register_plugin(trt: Any, job: BuildRequest, capabilities: tuple[str, ...], emit: Emit) -> ChosenPlugin:
    """Choose the form requested by a job and register it; nothing is registered for "none".

    Raises:
        SetupError: it cannot be had here, or the library is for another TensorRT or GPU.
    """
    if job.plugin == "none" or not job.scans:
        return ChosenPlugin("none")
    chosen = _chosen(trt, job)
    if chosen.library is not None:
        _require_version(trt, chosen.library)
        plugin_library.require_gpus(chosen.library, capabilities)
        plugin_library.register(trt, chosen.library)
    else:
        assert chosen.front is not None
        variants.register(trt, chosen.front)
    if chosen.front == python_plugin.FRONT:
        text = "the engine gets its scan from the Python plugin: it runs where mambapro registers that, in Python"
        emit("log", ["WARNING", f"{text}, and not in trtexec, Triton or C++"])
    return chosen


def _require_version(trt: Any, library: Path) -> None:
    version = plugin_library.library_version(library)
    try:
        plugin_library.check_headers(trt, version)
    except SetupError as error:
        raise SetupError(
            f"The plugin library {escaped(library)} is for TensorRT {version[0]}.{version[1]}, not for {trt.__name__} "
            f"{trt.__version__}. Build one for it: mambapro plugins build tensorrt."
        ) from error


def _chosen(trt: Any, job: BuildRequest) -> ChosenPlugin:
    kind = "external" if job.plugin == "external" else "embedded"
    if job.plugin_library is not None:
        return ChosenPlugin(kind, plugin_library.FRONT, Path(job.plugin_library))
    reasons = variants.unavailable(trt)
    if reasons[plugin_library.FRONT] is None:
        return ChosenPlugin(kind, plugin_library.FRONT, plugin_library.build())
    if kind == "embedded" and reasons[aot_plugin.FRONT] is None:
        return ChosenPlugin(kind, aot_plugin.FRONT)
    if job.plugin == "embed":
        causes = "; ".join(f"{name}: {reasons[name]}" for name in (plugin_library.FRONT, aot_plugin.FRONT))
        raise SetupError(
            f"The scan's kernel cannot be put into the engine here ({causes}). Give a --plugin-library built elsewhere "
            "(mambapro plugins build tensorrt), or choose --plugin external (runs from Python) or none (slow)."
        )
    return ChosenPlugin("external", python_plugin.FRONT)
