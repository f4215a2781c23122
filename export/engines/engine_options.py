"""What can be said about an engine before it is built."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...plugins.tensorrt.importing import MODULES
from ...runtime.bundle.artifact import Profile
from ...runtime.bundle.field_checks import one_of

RTX = "tensorrt_rtx"
PLUGINS = ("auto", "embed", "beside", "none")
HARDWARE = ("same", "compute-capability", "ampere+")


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is built.

    Attributes:
        library: "tensorrt" or "tensorrt_rtx".
        profile: batch sizes.
        compute_capabilities: of the GPUs to build for, such as ("8.6", "12.0"); TensorRT-RTX only, () = all that it
            can build whole models for. TensorRT builds for the GPU at hand.
        hardware: which other GPUs take an engine of TensorRT: "same" = none but this kind, "compute-capability" =
            those of the same one, "ampere+" = all from 8.0. What takes more is slower.
        version_compatible: later minor versions of TensorRT take it too; it carries a runtime of its own.
        plugin: how the engine gets its scan. "embed" puts the kernel in: plain TensorRT loads the engine. "beside":
            the engine needs the plugin at hand, as a library or, where none can be compiled, from Python. "auto" is
            "embed" where that can be done, else "beside"; what came of it is told. "none" takes the ONNX function,
            which runs everywhere and is slow; nothing but "none" ever does that.
        plugin_library: the plugin library to take, instead of the one that is compiled and cached.
        workspace: most bytes of GPU memory that a layer may use while it runs; None = TensorRT's own limit.
        timing_cache: folder of the timing caches; None = the user's cache folder. TensorRT-RTX times nothing.
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
        """Whether TensorRT-RTX builds it."""
        return self.library == RTX

    def require_consistent(self) -> None:
        """Refuse what the library does not have.

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
