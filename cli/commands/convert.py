"""mambapro convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.shared import ATTRIBUTE_DATASET, PATH, json_option, overwrite_option
from ..terminal.console import emit


@click.command()
@click.argument("root", type=PATH)
@click.option("--dataset", type=ATTRIBUTE_DATASET, required=True, help="Which set of labeled images the folder holds.")
@click.option("--out", type=PATH, required=True, help="File to write, *.json, or a folder for attributes.json.")
@click.option(
    "--partition",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which partition, where a set has several: PETA, RAP and zero-shot sets 0 to 4; MSP60K 0 (random), 1, 2 "
    "(across scenes).",
)
@click.option("--trainval", is_flag=True, help="Train on the validation part too, as published figures do.")
@click.option("--skip-missing", is_flag=True, help="Leave out annotated images that are not there; --json lists them.")
@overwrite_option
@json_option
def convert(root: Path, dataset: str, out: Path, as_json: bool, **values: Any) -> None:
    """Write the annotation of a set of labeled images in the toolkit's format.

    ROOT is the folder of a published set, of which nothing is changed. Every command reads the result with --dataset
    attributes and the file, or its folder, as --data.
    """
    from ...runtime.data.attributes.conversion import convert_set

    emit(convert_set(root, dataset, out, **values), as_json)
