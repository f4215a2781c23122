"""What the building process is told, and what it tells: JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

#: Hands an event to the parent process: its kind ("percent", "log", "error", "done") and what goes with it.
Tell = Callable[[str, Any], None]


@dataclass(frozen=True)
class Job:
    """One engine to build. Paths are text; `gpu` is (name, compute capability), None for TensorRT-RTX.

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

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Job:
        """The opposite of `to_text`."""
        given = json.loads(text)
        for name in ("batches", "compute_capabilities", "gpu"):
            given[name] = None if given[name] is None else tuple(given[name])
        return cls(**given)


@dataclass(frozen=True)
class Built:
    """What the building process found out.

    Attributes:
        version: of the library.
        layers, plugin_layers: of the network, and those that are scans in a plugin.
        capabilities: compute capabilities it was built for.
        plugin: "embedded", "beside" or "none".
        front: of the plugin, None for "none".
        plugin_library: path of the library that is in the engine or has to be beside it, None where there is none.
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
