"""mambapro attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.decisions import decision_options
from ..options.images import image_options, skip_bad_option
from ..options.shared import PATH, json_option, overwrite_option, run_options
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, required=True, help="File to write: .parquet, .csv, .jsonl or .npz.")
@click.option("--show", type=PATH, help="HTML page to write: the first 200 images with their attributes.")
@click.option("--batch", type=click.IntRange(1), help="Images at a time; default: the model's fixed batch, or 32.")
@decision_options
@skip_bad_option
@run_options
@overwrite_option
@image_options
@json_option
def attributes(
    bundle: Path,
    folder: Path,
    out: Path,
    show: Path | None,
    batch: int | None,
    overwrite: bool,
    skip_bad: bool,
    running: dict[str, Any],
    deciding: dict[str, Any],
    as_json: bool,
) -> None:
    """Recognize the attributes of the person crops in a folder.

    BUNDLE recognizes them. Each image is a row of the file: its name, the names of the assigned attributes, and a
    column for each attribute with its probability.
    """
    from ...runtime.attribute_recognizer import AttributeRecognizer
    from ...runtime.records.recognition import recognize_folder

    page = None
    if show is not None:
        with needs("analysis"):
            from ...runtime.records.attribute_page import AttributePage

        page = AttributePage(show, f"Attributes of the images in {folder.name or folder}")
    with AttributeRecognizer(bundle, batch_size=batch, **running, **deciding) as recognizer:
        emit(recognize_folder(recognizer, folder, out, overwrite, skip_bad, page, track), as_json)
