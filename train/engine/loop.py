"""Training from an image folder to a checkpoint."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ...common.foreign_text import shown_text
from ...common.progress import Track, silent
from ...errors import InputError
from ..models.model_spec import Model
from .device import resolve_device
from .distributed import World
from .recipe import Recipe
from .run_folder import run_folder
from .state import NAME as STATE
from .task import Task, task_for
from .trainer import Trainer
from .training_report import FitReport

log = logging.getLogger("mambapro")


def fit(
    config: Recipe,
    data_root: str | os.PathLike[str],
    dataset: str,
    out: str | os.PathLike[str],
    *,
    initialise: Callable[[Any], Any] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    world: World | None = None,
    track: Track = silent,
) -> FitReport:
    """Train a model on the training part of a data set; write `best.pth`, `last.pth` and `log.csv` into `out`.

    `initialise` is called on the new model to load pretrained weights; a frozen backbone requires it. The same config,
    data, device and number of threads give the same weights, also after an interruption and `resume` (which starts from
    the beginning if no state was written yet). `world` is from `join_world`.

    Raises:
        InputError: unusable data, recipe or `out`; another run uses `out`; the run to resume had another recipe or
            data.
        SetupError: `device` is not available, or the disk is full.
        TrainingError: the loss is not finite.
        ArtifactError: the state to resume is damaged.
    """
    kind = task_for(dataset)
    if not isinstance(config, kind.recipe):
        raise InputError(
            f"The recipe {shown_text(config.name, 60)} is for {config.task}, and {dataset} is a data set for "
            f"{kind.recipe.task}. Give another recipe (--config) or another data set."
        )
    config.check_start(initialise is not None)
    task = kind.read(config, data_root, dataset)
    torch.manual_seed(config.seed)
    model = task.build_model()
    if initialise is not None:
        initialise(model)
    return train_model(
        model, task, config, out, device=device, overwrite=overwrite, resume=resume, world=world, track=track
    )


def train_model(
    model: Model,
    task: Task,
    config: Recipe,
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    world: World | None = None,
    track: Track = silent,
) -> FitReport:
    """Train an existing model; everything else as in `fit`."""
    folder, world = Path(out), world or World()
    if model.headless:
        raise InputError(
            "This model is of a checkpoint without classifiers, which cannot be trained on. Give the whole checkpoint, "
            "or build a new model and take the tower alone (--backbone, load_tower)."
        )
    if resolve_device(device, world.local_rank).type == "cpu":
        task.require_memory(model, world.size)
    with run_folder(folder, overwrite=overwrite, resume=resume) if world.is_first else nullcontext():
        world.wait()
        trainer = Trainer(model, task, config, folder, resolve_device(device, world.local_rank), world, track)
        if resume and not trainer.resume() and world.is_first:
            _no_finished_run(folder)
        world.wait()
        try:
            trainer.run()
        except (KeyboardInterrupt, SystemExit):
            if (folder / STATE).exists() and world.is_first:
                log.warning("%s holds the training so far; the same command with --resume goes on.", folder / STATE)
            raise
        if world.is_first:
            # a finished training is not resumed, and the state takes three times the size of the weights
            (folder / STATE).unlink(missing_ok=True)
        return trainer.report()


def _no_finished_run(folder: Path) -> None:
    if (folder / "best.pth").exists():
        raise InputError(
            f"The training in {folder} is finished: there is nothing to resume. Its result is best.pth; to train "
            "longer, start again with more epochs."
        )
    log.warning("There is no training to resume in %s: this one starts from the beginning.", shown_text(folder))
