"""mambapro sensitivity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.images import image_options, unpaired_option
from ..options.renamed import Command
from ..options.shared import (
    ANY_DATASET,
    HELP,
    PATH,
    allow_test_images_option,
    json_option,
    overwrite_option,
    seed_option,
)
from ..terminal.console import emit, needs, track


@click.command(cls=Command, context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.option(
    "--calib",
    type=PATH,
    required=True,
    help="Calibration images: a folder with rgb/, nir/ and tir/, or the root of --dataset.",
)
@click.option("--dataset", type=ANY_DATASET, help="Benchmark that --calib holds; mAP is measured with it only.")
@click.option("--images", type=click.IntRange(8), default=128, show_default=True, help="Samples to measure on.")
@click.option(
    "--rank-images",
    type=click.IntRange(1),
    help="Samples of them to rank the layers on; default: all. 24 rank alike and save most of the time.",
)
@click.option(
    "--calib-images", type=click.IntRange(8), default=256, show_default=True, help="Samples to find the scales with."
)
@click.option(
    "--group",
    type=click.Choice(("layer", "block", "kind")),
    default="layer",
    show_default=True,
    help="What is measured together: a layer, a block of the network, or a kind of layer in all blocks.",
)
@click.option(
    "--target",
    type=click.Choice(("onnxruntime", "openvino")),
    default="onnxruntime",
    show_default=True,
    help="Where to time.",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of a timed run.")
@click.option("--out", type=PATH, help="Folder to write to and to go on in; default: <bundle>.sensitivity beside it.")
@click.option(
    "--max-map-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Largest loss of mAP, in points.",
)
@click.option(
    "--max-cosine-distance",
    type=click.FloatRange(0, 2, min_open=True),
    default=0.01,
    show_default=True,
    help="Largest cosine distance (1 - cosine).",
)
@allow_test_images_option
@unpaired_option
@seed_option
@overwrite_option
@image_options
@json_option
def sensitivity(
    bundle: Path,
    calib: Path,
    group: str,
    target: str,
    batch: int,
    rank_images: int | None,
    max_map_drop: float,
    max_cosine_distance: float,
    overwrite: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Measure the cost of each layer of BUNDLE in int8.

    Chooses the layers that stay in floating point. Writes ranking.json, pareto.json, their pictures and policy.toml. An
    interrupted run is resumed.
    """
    with needs("calib"):
        from ...calib.sensitivity.analysis import SensitivityOptions
        from ...calib.sensitivity.bundle_analysis import analyze_bundle
        from ...calib.sensitivity.pareto import Limits

    limits = Limits(max_map_drop / 100, max_cosine_distance)
    options = SensitivityOptions(group, target, batch, rank_images, limits, overwrite)
    emit(analyze_bundle(bundle, calib, options, track=track, **values), as_json)
