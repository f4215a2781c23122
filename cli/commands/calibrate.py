"""mambapro calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.images import image_options, unpaired_option
from ..options.renamed import Command
from ..options.shared import ANY_DATASET, PATH, allow_test_images_option, json_option, overwrite_option, seed_option
from ..terminal.console import emit, needs, track


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option(
    "--calib",
    type=PATH,
    required=True,
    help="Images: a folder with rgb/, nir/ and tir/, or the root of --dataset (its training part is taken).",
)
@click.option("--dataset", type=ANY_DATASET, help="Which benchmark --calib or --data holds.")
@click.option("--data", type=PATH, help="Root of --dataset: its query and gallery images are refused in --calib.")
@click.option("--images", type=click.IntRange(8), default=256, show_default=True, help="Samples taken from --calib.")
@click.option(
    "--algorithm",
    type=click.Choice(("auto", "minmax", "entropy", "percentile", "mse")),
    default="auto",
    show_default=True,
    help="Ranges of activations; auto decides for each layer by measured error.",
)
@click.option("--percentile", type=float, default=99.99, show_default=True, help="For --algorithm percentile, auto.")
@click.option("--no-smooth", is_flag=True, help="Leave LayerNorms as they are.")
@click.option("--camera-pattern", help=r"Camera number in the file names of a folder, such as 'cam(\d+)'.")
@click.option("--first-camera", type=int, default=0, show_default=True, help="Number of the first camera in the names.")
@unpaired_option
@allow_test_images_option
@click.option(
    "--cache",
    type=PATH,
    help="Folder for unfinished work; default: the user's cache.",
)
@click.option("--out", type=PATH, help="The table of scales; default: <bundle>-scales.json beside the bundle.")
@seed_option
@overwrite_option
@image_options
@json_option
def calibrate(bundle: Path, out: Path | None, as_json: bool, **values: Any) -> None:
    """Measure the int8 scales of the float32 BUNDLE.

    They are measured on calibration images and written as one table. The list of images is written next to it, with the
    SHA-256 of each. The table applies to every runtime, and to the float16 bundle of the checkpoint as well.
    """
    with needs("calib"):
        from ...calib.calibrate_bundle import run_calibration

    emit(run_calibration(bundle, out, track=track, **values), as_json)
