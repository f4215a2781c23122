"""mambapro ablate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..options.images import image_options
from ..options.shared import (
    ANY_DATASET,
    PATH,
    Numbers,
    data_option,
    gathered,
    json_option,
    overwrite_option,
    weights_option,
)
from ..terminal.console import emit, needs, track

_START: dict[str, Callable[[Any], Any]] = {
    name: click.option(f"--{name.replace('_', '-')}", name, type=PATH, help=f"Attributes: {text}")
    for name, text in (
        ("vim", "public Vim-S weights for the rows that have it."),
        ("vmamba", "public VMamba-B weights."),
        ("text", "public mamba-130m weights of the text encoder."),
        ("vocab", "BERT vocabulary for the labels' words."),
        ("label_tokens", "token ids of the labels: .npy, .npz or .json."),
        ("label_vectors", "vectors of the labels: .npy, .npz or .json."),
    )
}
#: Options that only one kind of tables takes, or whose default depends on it: those that were given are passed on.
_GIVEN: dict[str, Callable[[Any], Any]] = {
    "dataset": click.option("--dataset", type=ANY_DATASET, help="Benchmark in the folder; default: the table's."),
    "config": click.option("--config", help="Recipe of all rows; default: the data set's, or tiny for --size tiny."),
    "size": click.option("--size", help="vit_b16 or tiny; of attributes full or mini; default: the recipe's, full."),
    "backbones": click.option(
        "--backbone", "backbones", type=PATH, multiple=True, help="Checkpoint whose backbone all rows start from."
    ),
    "weights": weights_option,
    "clip": click.option(
        "--clip", help="CLIP weights in its place: an open_clip name such as ViT-B-16-quickgelu/openai, or a file."
    ),
    "clip_torchscript": click.option(
        "--clip-torchscript", is_flag=True, help="Let --clip be OpenAI's TorchScript archive. It runs code."
    ),
    "vit": click.option(
        "--vit", help="ImageNet weights: of table 9's ViT rows a timm name or a file; of attributes a file."
    ),
}


@click.command()
@click.argument("table")
@data_option
@click.option("--out", type=PATH, required=True, help="Folder for results and trainings; finished rows are kept.")
@click.option("--rows", default="", metavar="A,B,...", help="Rows of the table; default: all.")
@click.option("--seeds", type=Numbers(), default="1", show_default=True, help="Each row is trained with each.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: solver.epochs=30.")
@gathered("given", _GIVEN, only_set=True)
@gathered("sources", _START, only_set=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@overwrite_option
@image_options
@json_option
def ablate(rows: str, given: dict[str, Any], sources: dict[str, Path], as_json: bool, **values: Any) -> None:
    """Train the rows of a TABLE of the paper.

    They are printed beside the paper's numbers. TABLE is 3 to 12, or fig8a, fig8b, fig9a to fig9d. Every row starts
    from the same pretrained backbone and is trained with each seed. Of attributes TABLE is par-backbones, par-fusion or
    par-hybrids: each row is a recipe, teachers are trained first. What is finished is not trained again; what was
    interrupted goes on.
    """
    with needs("train"):
        from ...train.paper.ablation.ablation_task import ablate_table
        from ...train.paper.ablation.attribute_tables import ATTRIBUTE_TABLES

    given = {name: value for name, value in given.items() if value not in (False, ())}
    if values["table"].lower() in ATTRIBUTE_TABLES and "vit" in given:
        sources["vit"] = Path(given.pop("vit"))
    if sources:
        given["sources"] = sources
    picked = tuple(name.strip() for name in rows.split(",") if name.strip())
    emit(ablate_table({"rows": picked, **given, **values}, track), as_json)
