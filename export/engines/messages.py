"""Request and result of the worker that builds an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BuildRequest:
    """Request for one engine. Paths are text; `gpu` is (name, compute capability), None for TensorRT-RTX.

    Attributes:
        onnx: the typed ONNX file.
        plan: where the engine goes.
        library: "tensorrt" or "tensorrt_rtx".
        batches: smallest, usual and largest.
        scans: SelectiveScan nodes in the file.
        timing_cache: folder, None for the usual one.
    """

    onnx: str
    plan: str
    library: str
    batches: tuple[int, int, int]
    scans: int
    compute_capabilities: tuple[str, ...]
    hardware: str
    version_compatible: bool
    plugin: str
    plugin_library: str | None
    workspace: int | None
    timing_cache: str | None
    tf32: bool
    gpu: tuple[str, str] | None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> BuildRequest:
        """Build a request from its fields as JSON, which has lists for tuples."""
        tuples: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **tuples})


@dataclass(frozen=True)
class BuildResult:
    """Result of the worker.

    Attributes:
        version: of the library.
        layers, plugin_layers: of the network, and those that are scans in a plugin.
        capabilities: compute capabilities it was built for.
        plugin: "embedded", "external" or "none".
        front: of the plugin, None for "none".
        plugin_library: path of the library, embedded in the engine or external, None where there is none.
        seconds: that the builder took, without its start.
        peak_memory: bytes of host memory.
    """

    version: str
    layers: int
    plugin_layers: int
    capabilities: tuple[str, ...]
    plugin: str
    front: str | None
    plugin_library: str | None
    seconds: float
    peak_memory: int

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> BuildResult:
        """Build a result from its fields as JSON."""
        return cls(**{**values, "capabilities": tuple(values["capabilities"])})
