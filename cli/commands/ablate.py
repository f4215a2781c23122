"""mambapro ablate."""

from __future__ import annotations

from typing import Any

import click

from ..options.images import image_options
from ..options.shared import PATH, REID_DATASET, Numbers, data_option, json_option, overwrite_option, weights_option
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("table")
@data_option
@click.option("--dataset", type=REID_DATASET, help="Which benchmark the folder holds; default: the table's.")
@click.option("--out", type=PATH, required=True, help="Folder for results and trainings; finished rows are kept.")
@click.option("--rows", default="", metavar="A,B,...", help="Rows of the table; default: all.")
@click.option("--seeds", type=Numbers(), default="1", show_default=True, help="Each row is trained with each.")
@click.option("--config", help="Recipe of all rows; default: the table's data set, or tiny for --size tiny.")
@click.option("--size", help="Model size: vit_b16 or tiny; default: the recipe's.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: solver.epochs=30.")
@click.option(
    "--backbone", "backbones", type=PATH, multiple=True, help="Checkpoint whose backbone all rows start from."
)
@weights_option
@click.option(
    "--clip", help="CLIP weights in its place: an open_clip name such as ViT-B-16-quickgelu/openai, or a file."
)
@click.option("--clip-torchscript", is_flag=True, help="Let --clip be OpenAI's TorchScript archive. It runs code.")
@click.option("--vit", help="ImageNet weights for the ViT rows of table 9: a timm name, or a file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@overwrite_option
@image_options
@json_option
def ablate(rows: str, as_json: bool, **values: Any) -> None:
    """Train the rows of a TABLE of the paper.

    They are printed beside the paper's numbers. TABLE is 3 to 12, or fig8a, fig8b, fig9a to fig9d. Every row starts
    from the same pretrained backbone and is trained with each seed. What is finished is not trained again; what was
    interrupted goes on.
    """
    with needs("train"):
        from ...train.paper.ablation.run_ablation import AblationOptions, run_ablation

    picked = tuple(name.strip() for name in rows.split(",") if name.strip())
    emit(run_ablation(AblationOptions(rows=picked, **values), track), as_json)
