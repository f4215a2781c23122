"""mambapro train."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ...common.foreign_text import escaped
from ...runtime.bundle.tasks import TASKS
from ..options.images import image_options
from ..options.pretrained import given_sources, start_options
from ..options.shared import ANY_DATASET, PATH, data_option, json_option, overwrite_option
from ..terminal.console import emit, needs, track


@click.command()
@click.option("--config", "recipe", required=True, help="Recipe: a name such as rgbnt201, tiny, vim_s, or a TOML file.")
@click.option("--task", type=click.Choice(tuple(TASKS)), help="Task of a recipe file that names none.")
@data_option
@click.option("--dataset", type=ANY_DATASET, help="Which data set the folder holds; default: the recipe's.")
@click.option("--out", type=PATH, required=True, help="Folder for best.pth, last.pth and log.csv.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: solver.epochs=30.")
@click.option("--epochs", type=click.IntRange(1), help="Other number of epochs; a longer warm-up is cut.")
@click.option("--seed", type=click.IntRange(0), help="Other seed than the recipe's.")
@start_options
@click.option("--select-on-test", is_flag=True, help="Choose the best epoch on the test set, as published figures do.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted training in --out stopped, bit for bit.")
@overwrite_option
@image_options
@json_option
def train(
    recipe: str,
    task: str | None,
    data: Path,
    dataset: str | None,
    out: Path,
    changes: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    select_on_test: bool,
    device: str,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **sources: Any,
) -> None:
    """Train a model on the training part of a data set.

    The recipe decides the task: re-identification, or pedestrian attributes. On several GPUs: torchrun
    --nproc-per-node 4 -m mambapro train ...
    """
    with needs("train"):
        from ...train.engine.distributed import join_world
        from ...train.engine.loop import fit
        from ...train.engine.recipe import Recipe
        from ...train.engine.recipes import load_recipe
    from ...common.progress import silent

    if resume and overwrite:
        raise click.UsageError("--resume goes on with what --overwrite removes; give one of them.")
    config: Recipe = load_recipe(recipe, changes, task)
    short = _short_forms(config, epochs, seed, select_on_test)
    config = load_recipe(recipe, [*changes, *short], task)
    if dataset is None and config.dataset is None:
        raise click.UsageError(
            f"The recipe {escaped(config.name)} is for any data set; say with --dataset which this one is."
        )
    initialise: Callable[[Any], Any] | None = config.initialiser(**given_sources(sources, config.sources, config.name))
    with join_world(device) as world:
        if not world.is_first:
            logging.getLogger("mambapro").setLevel(logging.WARNING)
        report = fit(
            config,
            data,
            dataset or str(config.dataset),
            out,
            initialise=initialise,
            device=device,
            overwrite=overwrite,
            resume=resume,
            world=world,
            track=track if world.is_first else silent,
        )
        if world.is_first:
            emit(report, as_json)


def _short_forms(config: Any, epochs: int | None, seed: int | None, select_on_test: bool) -> list[str]:
    """Return the recipe fields that have options of their own."""
    changes = []
    if epochs is not None:
        changes += [f"solver.warmup_epochs={min(config.solver.warmup_epochs, epochs)}", f"solver.epochs={epochs}"]
    if seed is not None:
        changes.append(f"seed={seed}")
    if select_on_test:
        changes += ["select_on_test=true", f"{config.held_out_field}=0"]
    return changes
