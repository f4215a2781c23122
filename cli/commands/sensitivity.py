"""mambapro sensitivity."""

from __future__ import annotations

from pathlib import Path

import click

from ..options.images import image_options, unpaired_option
from ..options.shared import DATASETS, HELP, PATH, json_option, overwrite_option, seed_option
from ..terminal.console import emit, needs, track


@click.command(context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.option(
    "--calib",
    type=PATH,
    required=True,
    help="Calibration images: a folder with rgb/, nir/ and tir/, or the root of --dataset.",
)
@click.option(
    "--dataset", type=click.Choice(DATASETS), help="Benchmark that --calib holds; mAP is measured with it only."
)
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
    "--max-departure",
    type=click.FloatRange(0, 2, min_open=True),
    default=0.01,
    show_default=True,
    help="Largest 1 - cosine.",
)
@click.option("--insist", is_flag=True, help="Calibrate on images of the test set all the same.")
@unpaired_option
@seed_option
@overwrite_option
@image_options
@json_option
def sensitivity(
    bundle: Path,
    calib: Path,
    dataset: str | None,
    images: int,
    rank_images: int | None,
    calib_images: int,
    group: str,
    target: str,
    batch: int,
    out: Path | None,
    max_map_drop: float,
    max_departure: float,
    insist: bool,
    unpaired: bool,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure what each layer of BUNDLE costs in int8, and choose which to leave in floating point.

    Writes ranking.json, pareto.json, their pictures and policy.yaml. A run that was interrupted goes on where it was.
    """
    with needs("calib"):
        from ...calib.calibrate import calibrate
        from ...calib.calibrate_bundle import beside
        from ...calib.images import calibration_images
        from ...calib.sensitivity.analysis import SensitivityOptions, analyse, require_pictures
        from ...calib.sensitivity.measurement import benchmark_material, folder_material
        from ...calib.sensitivity.pareto import Limits
    from ...common.files.targets import require_outside
    from ...runtime.bundle.bundle import Bundle
    from ...runtime.bundle.checksums import MODEL
    from ...runtime.data.readers.benchmarks import read_benchmark
    from ...runtime.suited import warn_of_other_benchmark

    require_pictures()
    options = SensitivityOptions(
        group, target, batch, rank_images, Limits(max_map_drop / 100, max_departure), overwrite
    )
    opened = Bundle.open(bundle)
    metadata = opened.metadata.ranged()
    folder = out or beside(bundle, ".sensitivity")
    require_outside(folder)
    warn_of_other_benchmark(metadata, dataset)
    chosen = calibration_images(
        calib,
        metadata.preprocessing,
        dataset,
        count=calib_images,
        seed=seed,
        insist=insist,
        unpaired=unpaired,
        track=track,
    )
    with opened.named_copy(MODEL) as model:
        table = calibrate(model, metadata, chosen, cache=folder / "scales", track=track).table
        if dataset is None:
            material = folder_material(chosen, metadata, images, track)
        else:
            material = benchmark_material(read_benchmark(dataset, calib), metadata, images, seed, track)
        emit(analyse(model, table, material, folder, options, track), as_json)
