"""mambapro train."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from ...common.foreign_text import escaped
from ..options.images import image_options
from ..options.shared import ANY_DATASET, PATH, data_option, json_option, overwrite_option, weights_option
from ..terminal.console import emit, needs, track


@click.command()
@click.option("--config", "recipe", required=True, help="Recipe: rgbnt201, rgbnt100, msvr310, tiny, or a TOML file.")
@data_option
@click.option("--dataset", type=ANY_DATASET, help="Which benchmark the folder holds; default: the recipe's.")
@click.option("--out", type=PATH, required=True, help="Folder for best.pth, last.pth and log.csv.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: solver.epochs=30.")
@click.option("--epochs", type=click.IntRange(1), help="Other number of epochs; a longer warm-up is cut.")
@click.option("--seed", type=click.IntRange(0), help="Other seed than the recipe's.")
@click.option("--clip", help="CLIP weights: an open_clip name such as ViT-B-16-quickgelu/openai, or a file.")
@click.option("--clip-torchscript", is_flag=True, help="Let --clip be OpenAI's TorchScript archive. It runs code.")
@click.option("--imagenet", help="ImageNet ViT weights for model.size=vit_b16_imagenet: a timm name, or a file.")
@click.option("--backbone", type=PATH, help="A checkpoint whose backbone is taken over, in place of --clip.")
@weights_option
@click.option("--select-on-test", is_flag=True, help="Choose the best epoch on the test set, as published figures do.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted training in --out stopped, bit for bit.")
@overwrite_option
@image_options
@json_option
def train(
    recipe: str,
    data: Path,
    dataset: str | None,
    out: Path,
    changes: tuple[str, ...],
    epochs: int | None,
    seed: int | None,
    clip: str | None,
    clip_torchscript: bool,
    imagenet: str | None,
    backbone: Path | None,
    weights: str | None,
    select_on_test: bool,
    device: str,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model on a benchmark's training part.

    On several GPUs: torchrun --nproc-per-node 4 -m mambapro train ...
    """
    with needs("train"):
        from ...train.engine.distributed import join_world
        from ...train.engine.loop import fit
        from ...train.engine.recipes import load_recipe
        from ...train.models.mambapro.pretrained import initialiser
    from ...common.progress import silent

    if resume and overwrite:
        raise click.UsageError("--resume goes on with what --overwrite removes; give one of them.")
    config = load_recipe(recipe, changes)
    config = load_recipe(recipe, [*changes, *_short_forms(config.solver.warmup_epochs, epochs, seed, select_on_test)])
    if dataset is None and config.dataset is None:
        raise click.UsageError(
            f"The recipe {escaped(config.name)} is for any benchmark; say with --dataset which this one is."
        )
    initialise = initialiser(clip, backbone, imagenet, allow_torchscript=clip_torchscript, weights=weights)
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


def _short_forms(warmup: int, epochs: int | None, seed: int | None, select_on_test: bool) -> list[str]:
    """Return the recipe fields that have options of their own."""
    changes = []
    if epochs is not None:
        changes += [f"solver.warmup_epochs={min(warmup, epochs)}", f"solver.epochs={epochs}"]
    if seed is not None:
        changes.append(f"seed={seed}")
    if select_on_test:
        changes += ["select_on_test=true", "validation_identities=0"]
    return changes
