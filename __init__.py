"""Mamba-based recognition from training to the edge: train, export, run without PyTorch, prove equal numbers."""

from __future__ import annotations

import importlib
from typing import Any

from . import moved as _moved
from . import telemetry as _telemetry

__version__ = "0.1.0"

#: Public names and the modules that define them; imported on first use, so that none costs anything before.
_PUBLIC = {
    "AttributeRecognizer": "runtime.attribute_recognizer",
    "Bundle": "runtime.bundle.bundle",
    "Extractor": "runtime.extractor",
    "Pipeline": "runtime.pipeline",
    "check_bundle": "runtime.verification.check",
    "export_bundle": "export.pipeline",
    "load_checkpoint": "train.models.checkpoints.weights",
    "save_checkpoint": "train.models.checkpoints.weights",
}
__all__ = ["__version__", *_PUBLIC]

# before anything that would report is imported
_telemetry.switch_off()
_moved.install()


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562).

    Raises:
        AttributeError: the package has no such name.
    """
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
