"""mambapro plugins: the implementations of the selective scan on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ...common.foreign_text import escaped
from ...errors import SetupError
from ..options.shared import json_option
from ..terminal.console import emit


@click.group()
def plugins() -> None:
    """Show, build and check the selective scan for each runtime."""


@plugins.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Show every implementation of the scan, and the reason if it is unavailable."""
    from ...plugins.selective_scan.status import list_backends

    emit(list_backends(), as_json)


@plugins.command()
@click.argument("name", metavar="[onnxruntime|openvino|tensorrt]")
@json_option
def build(name: str, as_json: bool) -> None:
    """Compile a library ahead of its first use, and print its path.

    openvino: against the headers inside the installed package. onnxruntime: against the C headers whose folder
    $ONNXRUNTIME_INCLUDE_DIR names. tensorrt: needs nvcc and TensorRT's headers, whose folder $TENSORRT_INCLUDE_DIR
    names. Libraries go into $MAMBAPRO_CACHE, by default in the user's cache folder.
    """
    from ...plugins.selective_scan.status import build as build_library

    emit(_Library(name, build_library(name)), as_json)


@dataclass(frozen=True)
class _Library:
    """Built library of the scan."""

    runtime: str
    path: Path

    def to_json(self) -> dict[str, str]:
        """Return plain values."""
        return {"runtime": self.runtime, "path": str(self.path)}

    def __str__(self) -> str:
        return escaped(self.path)


@plugins.command()
@json_option
def check(as_json: bool) -> None:
    """Run every implementation that needs no GPU against the float64 definition."""
    from ...plugins.selective_scan.status import check as check_backends

    report = check_backends()
    emit(report, as_json)
    if not report.passed:
        raise SetupError(
            "an implementation of the selective scan does not return the definition's numbers; do not use it here."
        )
