"""mambapro check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.building import fraction
from ..options.images import image_options
from ..options.renamed import Command
from ..options.shared import ANY_DATASET, PATH, check_options, json_option, max_cosine_distance_option
from ..terminal.console import emit, track


@click.command(cls=Command)
@click.argument("bundle", type=PATH)
@click.option("--data", type=PATH, help="Root folder of --dataset: gates the accuracy of what was not gated.")
@click.option("--dataset", type=ANY_DATASET, help="Which benchmark --data holds.")
@click.option(
    "--images",
    type=PATH,
    help="Folder with rgb/, nir/ and tir/: report whether 16-bit values fit the bundle's range.",
)
@click.option("--force", is_flag=True, help="Mark int8 verified though it is not faster here.")
@max_cosine_distance_option("to allow more than the default")
@click.option(
    "--max-map-drop",
    type=float,
    help="Largest loss of mAP (attributes: of mA and F1) in points, to allow more than the default.",
)
@check_options
@image_options
@json_option
def check(
    bundle: Path,
    data: Path | None,
    dataset: str | None,
    images: Path | None,
    max_cosine_distance: float | None,
    max_map_drop: float | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Verify BUNDLE and replay its goldens here.

    Every hash is compared, and the goldens run through every artifact that runs on this machine. Artifacts that were
    built where they could not run are marked verified where they pass; int8 only where it is faster than the other
    precisions of its target (exit code 6).
    """
    from ...runtime.bundle.bundle import Bundle
    from ...runtime.data.range_survey import survey_folder, tell_ranges
    from ...runtime.data.readers.benchmarks import read_benchmark
    from ...runtime.suited import warn_of_other_benchmark
    from ...runtime.verification.check import check_bundle

    if (data is None) != (dataset is None):
        raise click.UsageError("--data and --dataset belong together: give both, or none.")
    if dataset is not None:
        warn_of_other_benchmark(Bundle.open(bundle, verify=False).metadata, dataset)
    benchmark = None if data is None or dataset is None else read_benchmark(dataset, data, test_only=True)
    if images is not None:
        metadata = Bundle.open(bundle).metadata.ranged()
        tell_ranges(survey_folder(images, metadata.modalities), metadata.preprocessing)
    values |= {"max_departure": max_cosine_distance, "max_map_drop": fraction(max_map_drop)}
    emit(check_bundle(bundle, track=track, benchmark=benchmark, **values), as_json)
