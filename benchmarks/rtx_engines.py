"""Engines of TensorRT-RTX, which need no GPU to be built: layers, size, time, memory, of each precision.

    python benchmarks/rtx_engines.py best-fp32.mambapro
    python benchmarks/rtx_engines.py model.onnx --precision fp32 --precision fp16 --capability 8.6

Of a float32 model one engine is built in each --precision; of a typed or quantised file, and of such files in a
bundle, one as it is. Each build is a process of its own.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import onnx
from mambapro.errors import MambaProError
from mambapro.export.engines.build_engine import build_engine
from mambapro.export.engines.engine_options import PLUGINS, RTX, EngineOptions
from mambapro.export.engines.engine_report import EngineReport
from mambapro.graph.cast import typed
from mambapro.graph.onnx_file import save_onnx
from mambapro.runtime.bundle.artifact import Profile
from onnx import TensorProto

HEAD = (
    f"{'model':24} {'type':5} {'ONNX MB':>8} {'engine MB':>9} {'layers':>7} {'scan plugins':>12} {'builder s':>9} "
    f"{'all s':>7} {'peak GB':>8}"
)


@dataclass(frozen=True)
class Row:
    """One engine."""

    model: str
    precision: str
    onnx_bytes: int
    report: EngineReport

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "model": self.model,
            "precision": self.precision,
            "onnx_bytes": self.onnx_bytes,
            **self.report.to_json(),
        }

    def __str__(self) -> str:
        report, build = self.report, self.report.build
        return (
            f"{self.model:24} {self.precision:5} {self.onnx_bytes / 1e6:8.1f} {build.bytes / 1e6:9.1f} "
            f"{build.layers:7d} {build.plugin_layers:12d} {report.builder_seconds:9.1f} {build.seconds:7.1f} "
            f"{report.peak_memory / 1e9:8.2f}"
        )


def precision_of(model: onnx.ModelProto) -> str:
    """Return the precision of a file."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    low = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
    return next((name for kind, name in low.items() if kind in kinds), "fp32")


def files_of(path: Path) -> list[Path]:
    """The ONNX files of a bundle, or the one file."""
    return sorted(path.glob("*.onnx")) if path.is_dir() else [path]


def one_row(file: Path, precision: str, options: EngineOptions) -> Row:
    """Build an engine, look at it, and throw it away."""
    with tempfile.TemporaryDirectory() as folder:
        report = build_engine(file, Path(folder) / "model.engine", options)
    return Row(file.stem, precision, file.stat().st_size, report)


def rows_of(file: Path, precisions: tuple[str, ...], options: EngineOptions) -> list[Row]:
    """All engines of a file."""
    model = onnx.load(file)
    found = precision_of(model)
    if found != "fp32":
        del model
        return [one_row(file, found, options)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in precisions:
            written = file
            if precision != "fp32":
                written = Path(folder) / f"{file.stem}.onnx"
                save_onnx(typed(model, precision), written)
            rows.append(one_row(written, precision, options))
    return rows


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--precision", "precisions", multiple=True, type=click.Choice(["fp32", "fp16", "bf16"]))
@click.option("--capability", "capabilities", multiple=True, help="8.6, ...; all that TensorRT-RTX has if not given")
@click.option("--plugin", default="auto", type=click.Choice(PLUGINS))
@click.option("--batches", nargs=3, type=int, default=(1, 8, 32), help="smallest, usual, largest")
@click.option("--json", "as_json", is_flag=True)
def main(
    paths: tuple[Path, ...],
    precisions: tuple[str, ...],
    capabilities: tuple[str, ...],
    plugin: str,
    batches: tuple[int, int, int],
    as_json: bool,
) -> None:
    logging.getLogger("mambapro").setLevel(logging.ERROR)
    rows: list[Row] = []
    try:
        options = EngineOptions(RTX, Profile(*batches), capabilities, plugin=plugin)
        if not as_json:
            click.echo(HEAD)
        for file in [file for path in paths for file in files_of(path)]:
            for row in rows_of(file, precisions or ("fp32", "fp16", "bf16"), options):
                rows.append(row)
                if not as_json:
                    click.echo(str(row))
    except MambaProError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
    else:
        needs = rows[-1].report.needs
        click.echo(f"TensorRT-RTX {needs.library}, compute capability {', '.join(needs.compute_capabilities)}")


if __name__ == "__main__":
    main()
