"""Result of an engine build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...common.records import Report
from ...runtime.bundle.artifact import Build, EngineNeeds, Profile


@dataclass(frozen=True)
class EngineReport(Report):
    """Report of a built engine.

    Attributes:
        file: the plain plan.
        build: seconds of the whole process, bytes, layers.
        needs: requirements for loading it.
        profile: batch sizes.
        plugin_front: variant "library", "aot", "python", or None without a plugin.
        plugin_library: the external library, which is stored next to the engine as `needs.plugin.file`.
        builder_seconds: duration of TensorRT's build.
        peak_memory: bytes of host memory of the building process.
    """

    file: Path
    build: Build
    needs: EngineNeeds
    profile: Profile
    plugin_front: str | None
    plugin_library: Path | None
    builder_seconds: float
    peak_memory: int

    def __str__(self) -> str:
        build, needs = self.build, self.needs
        batches = f"{self.profile.smallest} to {self.profile.largest}, fastest at {self.profile.usual}"
        plugin = needs.plugin.kind + (f" ({self.plugin_front})" if self.plugin_front else "")
        rows = (
            ("engine", f"{self.file}, {build.bytes / 1e6:.1f} MB"),
            ("for", f"{needs.library} on compute capability {', '.join(needs.compute_capabilities)}, {needs.platform}"),
            ("layers", f"{build.layers}, {build.plugin_layers} of them scan plugins; plugin {plugin}"),
            ("batches", batches),
            ("took", f"{build.seconds:.1f} s, {self.peak_memory / 1e9:.2f} GB of memory"),
        )
        return "\n".join(f"{name:8} {text}" for name, text in rows)
