"""mambapro compare-layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.shared import PATH, PRECISIONS, TARGETS, json_option
from ..terminal.console import emit, needs


@click.command("compare-layers")
@click.argument("bundle", type=PATH)
@click.option("--target", type=click.Choice(TARGETS), required=True, help="Runtime of the artifact.")
@click.option("--precision", type=click.Choice(PRECISIONS), required=True, help="Precision of the artifact.")
@click.option("--samples", type=click.IntRange(1), default=2, show_default=True, help="Goldens of the bundle to run.")
@click.option("--load-plugins", is_flag=True, help="Load the plugin library of an engine. Trust it first.")
@json_option
def compare_layers(bundle: Path, as_json: bool, **values: Any) -> None:
    """Compare an artifact with its model layer by layer.

    The exported model of BUNDLE runs in ONNX Runtime, both through Polygraphy. The table has the last value of every
    module that both graphs have, in the order of the graph: the first one that differs much is where an artifact loses
    its accuracy. A LayerNorm that was smoothed for int8 differs by its factors, which the next layer takes back. Of a
    TensorRT engine the outputs are compared.
    """
    with needs("export"):
        from ...export.comparison.layers import compare_layers as compare

        emit(compare(bundle, **values), as_json)
