"""mambapro explain."""

from __future__ import annotations

from typing import Any

import click

from ..options.images import image_options
from ..options.shared import (
    PATH,
    data_option,
    json_option,
    overwrite_option,
    reid_dataset_option,
    seed_option,
    switch_options,
)
from ..terminal.console import emit, needs, track

PICTURES = ("gradcam", "tsne", "similarity")


@click.command()
@click.option("--ckpt", "checkpoints", type=PATH, multiple=True, required=True, help="A checkpoint; may come again.")
@data_option
@reid_dataset_option
@click.option("--out", type=PATH, required=True, help="Folder to write; new or empty.")
@click.option("--only", type=click.Choice(PICTURES), multiple=True, help="Just this picture; may come again.")
@click.option("--identities", type=int, help="Identities to show, 2 to 56; default: 12, or all where there are fewer.")
@click.option("--samples", type=int, default=16, show_default=True, help="Samples of each identity at most.")
@click.option("--rows", type=int, default=6, show_default=True, help="Samples to show with Grad-CAM, 1 to 24.")
@seed_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@switch_options
@overwrite_option
@image_options
@json_option
def explain(only: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Draw the paper's pictures of checkpoints.

    Writes PNG files and one self-contained HTML page. gradcam: image regions that make a sample similar to its
    identity. tsne: distribution of the identities, several checkpoints side by side. similarity: similarity of the
    modalities, for the same and for different identities. The last two before and after the aggregation. Samples are
    drawn from query and gallery.
    """
    with needs("train"):
        from ...train.paper.explain.explain import ExplainOptions
        from ...train.paper.explain.explain import explain as draw_pictures

    options = ExplainOptions(only=only or PICTURES, **values)
    emit(draw_pictures(options, track), as_json)
