"""mambapro info."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.shared import PATH, REID_DATASET, json_option, weights_option
from ..terminal.console import emit, needs


@click.command()
@click.option("--config", "recipe", help="Recipe whose model it is, or a file; default: rgbnt201.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: model.size=tiny.")
@click.option("--ckpt", type=PATH, help="A checkpoint's model in its place.")
@click.option("--dataset", type=REID_DATASET, help="Images, cameras and identities; default: the recipe's.")
@weights_option
@click.option("--table", help="A table of the paper instead: parameters and operations of its rows beside ours.")
@click.option("--attributes", is_flag=True, help="All models of attribute recognition instead, of full size.")
@json_option
def info(
    recipe: str | None,
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

    given = {"--config": recipe, "--set": changes, "--ckpt": ckpt, "--dataset": dataset, "--weights": weights}
    given["--table"] = table
    if attributes:
        _leave_out("--attributes is all models of attributes", given, tuple(given))
        emit(named_attribute_costs(), as_json)
        return
    if ckpt is not None:
        _leave_out("--ckpt says what the model is", given, ("--table", "--config", "--set"))
        emit(any_checkpoint_info(ckpt, dataset, weights), as_json)
        return
    if weights is not None:
        raise click.UsageError("--weights chooses weights in a checkpoint: give --ckpt too.")
    recipe = recipe or "rgbnt201"
    if table is None:
        emit(recipe_info(load_recipe(recipe, changes), dataset), as_json)
    else:
        _leave_out("--table has the images and identities of the recipe", given, ("--dataset",))
        emit(table_info(table, load_recipe(recipe, changes, kind=TrainConfig)), as_json)


def _leave_out(why: str, given: dict[str, Any], names: tuple[str, ...]) -> None:
    """Raise UsageError for options that would have no effect."""
    if surplus := [name for name in names if given[name]]:
        raise click.UsageError(f"{why}; leave {' and '.join(surplus)} out.")
