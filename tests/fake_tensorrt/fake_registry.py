"""What a fake TensorRT is told and what it is given: its log, and its registry of plugins."""

from __future__ import annotations

from typing import Any


class ILogger:
    """What a Python logger derives from. `Severity` is added when the module is made."""

    class Severity(int):
        """Levels by name, as the bindings have them."""

        name = ""

    def __init__(self) -> None:
        self._made = True


for _number, _name in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")):
    _level = ILogger.Severity(_number)
    _level.name = _name
    setattr(ILogger, _name, _level)
    setattr(ILogger.Severity, _name, _level)


class Logger(ILogger):
    """The bindings' own logger; it keeps what it is told."""

    def __init__(self, min_severity: Any = None) -> None:
        super().__init__()
        self._lines: list[str] = []

    def log(self, severity: Any, msg: str) -> None:
        self._lines.append(msg)


class IPluginRegistry:
    """Creators by name; a library that is loaded brings the scan's."""

    _trt: Any

    def __init__(self) -> None:
        self._creators: list[Any] = []
        self._libraries: list[str] = []

    @property
    def all_creators(self) -> list[Any]:
        return list(self._creators)

    def register_creator(self, creator: Any, plugin_namespace: str = "") -> bool:
        self._creators.append(creator)
        return True

    def load_library(self, plugin_path: str) -> object:
        from mambapro.plugins.selective_scan.tensorrt.rules import NAME, NAMESPACE, PLUGIN_VERSION

        creator = type("Creator", (), {"name": NAME, "plugin_namespace": NAMESPACE, "plugin_version": PLUGIN_VERSION})
        self._libraries.append(plugin_path)
        self._creators.append(creator())
        return object()
