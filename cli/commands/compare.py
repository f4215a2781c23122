"""mambapro compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.images import image_options
from ..options.shared import PATH, data_option, dataset_option, json_option, switch_options
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("bundles", type=PATH, nargs=-1, required=True)
@click.option("--ckpt", type=PATH, required=True, help="The checkpoint the bundles were exported from.")
@data_option
@dataset_option
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True, help="Timed runs of each.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds in which they take turns.")
@switch_options
@image_options
@json_option
def compare(
    bundles: tuple[Path, ...],
    ckpt: Path,
    data: Path,
    dataset: str,
    as_json: bool,
    **values: Any,
) -> None:
    """Compare BUNDLES with their checkpoint in PyTorch.

    Accuracy, agreement and latency, on one benchmark in one run: mAP, Rank-1 and cosine of embeddings; of attributes mA
    and F1 with their drops in points, and the share of labels assigned as by PyTorch. Each model is timed in a process
    of its own, in interleaved rounds. If the rounds of a ratio disagree, the machine was busy, and the rounds are
    printed instead of the ratio.
    """
    with needs("export"):
        from ...export.comparison.compare import compare_bundles

    emit(compare_bundles(ckpt, bundles, data, dataset, track=track, **values), as_json)
