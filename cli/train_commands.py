"""mambapro train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from .console import emit, needs, track
from .options import PATH, data_option, dataset_option, json_option, overwrite_option


@click.command()
@click.option("--config", "recipe", required=True, help="Recipe: rgbnt201, rgbnt100, msvr310 or tiny.")
@data_option
@dataset_option
@click.option("--out", type=PATH, required=True, help="Folder for best.pth, last.pth and log.csv.")
@click.option("--epochs", type=click.IntRange(1), help="Other number of epochs than the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Other seed than the recipe's.")
@click.option("--clip", help="CLIP weights: an open_clip name such as ViT-B-16-quickgelu/openai, or a file.")
@click.option("--clip-torchscript", is_flag=True, help="Let --clip be OpenAI's TorchScript archive. It runs code.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@overwrite_option
@json_option
def train(
    recipe: str,
    data: Path,
    dataset: str,
    out: Path,
    epochs: int | None,
    seed: int | None,
    clip: str | None,
    clip_torchscript: bool,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a model on a benchmark's training part."""
    with needs("train"):
        from ..train.config import preset
        from ..train.loop import fit
        from ..train.models.clip import load_clip

    config = preset(recipe)
    if epochs is not None:
        warmup = min(config.solver.warmup_epochs, epochs)
        config = replace(config, solver=replace(config.solver, epochs=epochs, warmup_epochs=warmup))
    if seed is not None:
        config = replace(config, seed=seed)
    initialise = None
    if clip is not None:
        initialise = lambda model: load_clip(model, clip, allow_torchscript=clip_torchscript)  # noqa: E731
    report = fit(config, data, dataset, out, initialise=initialise, device=device, overwrite=overwrite, track=track)
    emit(report, as_json)
