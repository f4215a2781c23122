"""Options of an engine build."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...plugins.tensorrt.importing import MODULES
from ...runtime.bundle.artifact import Profile
from ...runtime.bundle.field_checks import one_of

RTX = "tensorrt_rtx"
PLUGINS = ("auto", "embed", "external", "none")
HARDWARE = ("same", "compute-capability", "ampere+")


@dataclass(frozen=True)
class EngineOptions:
    """Options of an engine build.

    Attributes:
        library: "tensorrt" or "tensorrt_rtx".
        profile: batch sizes.
        compute_capabilities: of the target GPUs, such as ("8.6", "12.0"); TensorRT-RTX only, () = all for which it can
            build whole models. TensorRT builds for this machine's GPU.
        hardware: other GPUs supported by an engine of TensorRT: "same" = none but this model, "compute-capability" =
            those of the same one, "ampere+" = all from 8.0. Wider support is slower.
        version_compatible: later minor versions of TensorRT can load it; it contains a runtime of its own.
        plugin: form of the scan in the engine. "embed" contains the kernel: plain TensorRT loads it. "external":
            the engine needs the plugin at run time, as a library or, if none can be compiled, from Python.
            "auto" is "embed" if possible, else "external"; the choice is reported. "none" uses the ONNX function, which
            runs everywhere and is slow; it is never chosen automatically.
        plugin_library: the plugin library to use, instead of the compiled and cached one.
        workspace: most bytes of GPU memory for one layer; None = TensorRT's own limit.
        timing_cache: folder of the timing caches; None = the user's cache folder. TensorRT-RTX has none.
        tf32: let float32 products round their inputs to TF32, faster and less exact.
    """

    library: str = "tensorrt"
    profile: Profile = field(default_factory=Profile)
    compute_capabilities: tuple[str, ...] = ()
    hardware: str = "same"
    version_compatible: bool = False
    plugin: str = "auto"
    plugin_library: Path | None = None
    workspace: int | None = None
    timing_cache: Path | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        one_of("library", self.library, MODULES)
        if self.plugin == "beside":
            warnings.warn(
                'plugin="beside" is called "external" now; the old name goes with release 0.3.0', DeprecationWarning, 3
            )
            object.__setattr__(self, "plugin", "external")
        one_of("plugin", self.plugin, PLUGINS)
        one_of("hardware", self.hardware, HARDWARE)
        for capability in self.compute_capabilities:
            if not re.fullmatch(r"\d{1,2}\.\d", capability):
                raise InputError(f"A compute capability is written as 8.6 or 12.0, not {capability!r}.")
        if self.plugin_library is not None and self.plugin == "none":
            raise InputError("A plugin library was given together with plugin none; leave one of them out.")
        if self.workspace is not None and self.workspace < 1:
            raise InputError(f"The workspace must be at least 1 byte, or left out, not {self.workspace}.")

    @property
    def rtx(self) -> bool:
        """True if TensorRT-RTX builds it."""
        return self.library == RTX

    def require_consistent(self) -> None:
        """Reject options that the library lacks.

        Raises:
            InputError: an option of TensorRT for TensorRT-RTX, or the other way round.
        """
        if self.rtx and (self.hardware != "same" or self.version_compatible):
            raise InputError(
                "TensorRT-RTX has no hardware levels and its packages no runtime for version-compatible engines: say "
                "which GPUs the engine is for by their compute capabilities, such as 8.6 and 8.9."
            )
        if not self.rtx and self.compute_capabilities:
            raise InputError(
                "TensorRT builds for the GPU of the machine that builds, not for a list of compute capabilities. Build "
                "on that GPU, choose hardware ampere+ or compute-capability, or take --target tensorrt-rtx."
            )
