"""mambapro explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..options.images import image_options
from ..options.shared import (
    PATH,
    data_option,
    dataset_option,
    gathered,
    json_option,
    overwrite_option,
    seed_option,
    switch_options,
)
from ..terminal.console import emit, needs, track

PICTURES = ("gradcam", "tsne", "similarity", "strips")
#: Options whose default depends on the task: only those that were given are passed on.
_GIVEN: dict[str, Callable[[Any], Any]] = {
    "identities": click.option(
        "--identities", type=int, help="Identities to show, 2 to 56; default: 12, or all where there are fewer."
    ),
    "samples": click.option(
        "--samples", type=int, help="Samples of each identity at most (16); of attributes test images in all (200)."
    ),
    "rows": click.option("--rows", type=int, help="Samples to show with Grad-CAM, 1 to 24; default: 6."),
}


@click.command()
@click.option("--ckpt", "checkpoints", type=PATH, multiple=True, required=True, help="A checkpoint; may come again.")
@data_option
@dataset_option
@click.option("--out", type=PATH, required=True, help="Folder to write; new or empty.")
@click.option("--only", type=click.Choice(PICTURES), multiple=True, help="Just this picture; may come again.")
@gathered("given", _GIVEN, only_set=True)
@seed_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@switch_options
@overwrite_option
@image_options
@json_option
def explain(only: tuple[str, ...], given: dict[str, Any], as_json: bool, **values: Any) -> None:
    """Draw pictures of checkpoints.

    Writes PNG files and one self-contained HTML page. Re-identification (the paper's pictures): gradcam, the image
    regions that make a sample similar to its identity; tsne, the distribution of the identities, several checkpoints
    side by side; similarity of the modalities, for the same and for different identities. Attributes: gradcam, the
    image regions that speak for each attribute; strips of the surest right and wrong decisions on each.
    """
    with needs("train"):
        from ...train.paper.explain.explain_task import explain_checkpoints

    if only:
        given["only"] = only
    emit(explain_checkpoints({**values, **given}, track), as_json)
