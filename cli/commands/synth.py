"""mambapro synth."""

from __future__ import annotations

from pathlib import Path

import click

from ..options.shared import PATH, REID_DATASET, json_option, overwrite_option, seed_option
from ..terminal.console import emit, track


@click.command()
@click.option("--out", type=PATH, required=True, help="Folder to write; serves as --data afterwards.")
@click.option("--dataset", type=REID_DATASET, required=True, help="Whose folders and file names to follow.")
@click.option("--train-identities", type=click.IntRange(2), help="Identities of the training part.")
@click.option("--test-identities", type=click.IntRange(2), help="Identities of query and gallery.")
@click.option("--images", type=click.IntRange(2), help="Samples of each identity.")
@seed_option
@overwrite_option
@json_option
def synth(
    out: Path,
    dataset: str,
    train_identities: int | None,
    test_identities: int | None,
    images: int | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Generate a benchmark in the layout of a real one.

    Persons (rgbnt201) or vehicles (rgbnt100, msvr310) in RGB, NIR and TIR, as JPEG, in the folders and file names of
    the benchmark, so that everything that reads the real one reads this. The same seed draws the same images.
    """
    from ...synthetic.benchmark import DEFAULT_IDENTITIES, DEFAULT_VIEWS, draw_benchmark

    identities = (train_identities or DEFAULT_IDENTITIES[0], test_identities or DEFAULT_IDENTITIES[1])
    report = draw_benchmark(
        out,
        dataset,
        seed=seed,
        identities=identities,
        views=images or DEFAULT_VIEWS,
        overwrite=overwrite,
        track=track,
    )
    emit(report, as_json)
