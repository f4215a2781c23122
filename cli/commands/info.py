"""mambapro info."""

from __future__ import annotations

from pathlib import Path

import click

from ..options.shared import PATH, REID_DATASET, json_option, weights_option
from ..terminal.console import emit, needs


@click.command()
@click.option("--config", "recipe", default="rgbnt201", show_default=True, help="Recipe whose model it is, or a file.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: model.size=tiny.")
@click.option("--ckpt", type=PATH, help="A checkpoint's model in its place.")
@click.option("--dataset", type=REID_DATASET, help="Images, cameras and identities; default: the recipe's.")
@weights_option
@click.option("--table", help="A table of the paper instead: parameters and operations of its rows beside ours.")
@click.option("--attributes", is_flag=True, help="All models of attribute recognition instead, of full size.")
@json_option
def info(
    recipe: str,
    changes: tuple[str, ...],
    ckpt: Path | None,
    dataset: str | None,
    weights: str | None,
    table: str | None,
    attributes: bool,
    as_json: bool,
) -> None:
    """Count the values and operations of a model.

    They are given for its parts, beside the paper's figures. With --table 3 (to 7, 10 to 12) the rows of that table,
    with --attributes one row for each model of attribute recognition. Nothing is trained or loaded, so it takes a
    second, with --attributes some.
    """
    with needs("train"):
        from ...train.engine.recipes import load_recipe
        from ...train.engine.training_config import TrainConfig
        from ...train.paper.cost.attribute_cost import named_attribute_costs
        from ...train.paper.cost.model_cost import table_info
        from ...train.paper.cost.task_costs import any_checkpoint_info, recipe_info

    if attributes:
        if given := [name for name, value in (("--ckpt", ckpt), ("--set", changes), ("--table", table)) if value]:
            raise click.UsageError(f"--attributes is all models of attributes; leave {' and '.join(given)} out.")
        emit(named_attribute_costs(), as_json)
        return
    if ckpt is not None:
        if table is not None or changes:
            raise click.UsageError("--ckpt says what the model is; leave --table and --set out.")
        emit(any_checkpoint_info(ckpt, dataset, weights), as_json)
        return
    if weights is not None:
        raise click.UsageError("--weights chooses weights in a checkpoint: give --ckpt too.")
    if table is None:
        emit(recipe_info(load_recipe(recipe, changes), dataset), as_json)
    else:
        emit(table_info(table, load_recipe(recipe, changes, kind=TrainConfig)), as_json)
