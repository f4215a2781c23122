"""mambapro extract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.decisions import decision_options
from ..options.images import image_options, skip_bad_option, unpaired_option
from ..options.shared import PATH, json_option, overwrite_option, run_options
from ..terminal.console import emit, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--rgb", type=PATH, help="Folder of RGB images.")
@click.option("--nir", type=PATH, help="Folder of near-infrared images.")
@click.option("--tir", type=PATH, help="Folder of thermal images.")
@click.option("--out", type=PATH, required=True, help="File to write: .npz, .parquet, .csv or .jsonl.")
@click.option("--attributes", type=PATH, help="Bundle of an attribute model; adds the attributes of the RGB images.")
@decision_options
@click.option("--camera-pattern", help=r"Camera number in the file names, such as 'cam(\d+)'; default: unknown.")
@click.option("--first-camera", type=int, default=0, show_default=True, help="Number of the first camera in the names.")
@click.option("--strict-cameras", is_flag=True, help="Refuse cameras the model does not know.")
@click.option("--batch", type=click.IntRange(1), help="Samples at a time; default: the model's fixed batch, or 32.")
@skip_bad_option
@unpaired_option
@run_options
@overwrite_option
@image_options
@json_option
def extract(
    bundle: Path,
    out: Path,
    attributes: Path | None,
    camera_pattern: str | None,
    first_camera: int,
    strict_cameras: bool,
    batch: int | None,
    overwrite: bool,
    skip_bad: bool,
    unpaired: bool,
    running: dict[str, Any],
    deciding: dict[str, Any],
    as_json: bool,
    **folders: Path | None,
) -> None:
    """Extract embeddings of folders of images.

    BUNDLE computes them, L2-normalized. Images of one sample have the same file name in every folder. A sensor without
    a folder, or without the file, is missing for the sample; the model is made for that. With --attributes each RGB
    image is decoded once for both models; without RGB the attributes are left empty.
    """
    from contextlib import ExitStack

    from ...runtime.attribute_recognizer import AttributeRecognizer
    from ...runtime.extraction import camera_from_name, extract_folders
    from ...runtime.extractor import Extractor

    cameras = None if camera_pattern is None else camera_from_name(camera_pattern, first_camera)
    if attributes is None and deciding != {"thresholds": None, "exclusive": "independent"}:
        raise click.UsageError("--threshold and --exclusive decide on attributes. Give their bundle with --attributes.")
    with ExitStack() as models:
        recognizer = None
        if attributes is not None:
            opened = AttributeRecognizer(attributes, batch_size=batch, **running, **deciding)
            recognizer = models.enter_context(opened)
        extractor = models.enter_context(Extractor(bundle, batch_size=batch, **running))
        report = extract_folders(
            extractor,
            {modality: folder for modality, folder in folders.items() if folder is not None},
            out,
            cameras,
            strict_cameras,
            overwrite,
            track,
            skip_bad,
            unpaired,
            recognizer,
        )
    emit(report, as_json)
