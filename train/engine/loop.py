"""Training from a folder of images to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.image_settings import image_settings
from ...runtime.data.modalities import MODALITIES
from ...runtime.data.range_survey import survey, tell_range
from ...runtime.data.readers.benchmarks import benchmark_info, read_benchmark
from ...runtime.data.sample import Benchmark
from ...runtime.data.sixteen_bit import FULL_RANGE
from ..models.mambapro.mambapro import MambaPro
from ..models.mambapro.sizes import build_model
from ..reid.dataset import split_training
from .device import resolve_device
from .distributed import World
from .run_folder import run_folder
from .state import NAME as STATE
from .trainer import Trainer
from .training_config import TrainConfig
from .training_memory import require_memory
from .training_report import FitReport


def fit(
    config: TrainConfig,
    data_root: str | os.PathLike[str],
    dataset: str,
    out: str | os.PathLike[str],
    *,
    initialise: Callable[[MambaPro], Any] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    world: World | None = None,
    track: Track = silent,
) -> FitReport:
    """Train a model on a benchmark's training part; writes `best.pth`, `last.pth` and `log.csv` into `out`.

    `initialise` is called on the new model, to load pretrained weights into it; a frozen backbone needs that. The same
    config, data, device and number of threads give the same weights, also when the run was interrupted and went on
    with `resume` (from the beginning, if it had not come far enough to leave a state). `world` is from `join_world`.

    Raises:
        InputError: data, recipe or `out` that cannot be used, or another run works there; what is to be resumed had
            another recipe or data.
        SetupError: `device` is not there, or no room on the disk.
        TrainingError: the loss is no number any more.
        ArtifactError: what is to be resumed is damaged.
    """
    if config.model.frozen and initialise is None:
        raise InputError(
            f"The recipe {config.name!r} freezes the backbone, so it needs pretrained weights to start from. "
            "Give them (--clip, --imagenet or --backbone), or set model.frozen to false and train it from scratch."
        )
    info = benchmark_info(dataset)
    benchmark = read_benchmark(dataset, data_root)
    _check_cameras(benchmark, info.cameras)
    _tell_ranges(benchmark)
    torch.manual_seed(config.seed)
    model = build_model(
        config.model.size,
        image_size=config.model.image_size_for(info.image_size),
        cameras=info.cameras,
        identities=len({sample.identity for sample in split_training(benchmark, config)[0].train}),
        direct=config.model.direct,
        **config.model.overrides,
    )
    if initialise is not None:
        initialise(model)
    return train_model(
        model, benchmark, config, out, device=device, overwrite=overwrite, resume=resume, world=world, track=track
    )


def _tell_ranges(benchmark: Benchmark) -> None:
    """Say where 16-bit images use a sliver of the range that they are trained with."""
    for modality in MODALITIES:
        found = survey(sample.sources[modality].path for sample in benchmark.train if modality in sample.sources)
        limits = image_settings().sixteen_bit_range.get(modality, FULL_RANGE)
        tell_range(modality, found, limits)


def train_model(
    model: MambaPro,
    benchmark: Benchmark,
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    world: World | None = None,
    track: Track = silent,
) -> FitReport:
    """Train a model that exists already; everything else as `fit`."""
    folder, world = Path(out), world or World()
    if model.headless:
        raise InputError(
            "This model is of a checkpoint without classifiers, which cannot be trained on. Give the whole checkpoint, "
            "or build a new model and take the tower alone (--backbone, load_tower)."
        )
    if resolve_device(device, world.local_rank).type == "cpu":
        parameters = sum(value.numel() for value in model.parameters())
        require_memory(model.config, parameters, config.solver, world.size)
    with run_folder(folder, overwrite=overwrite, resume=resume) if world.is_first else nullcontext():
        world.wait()
        trainer = Trainer(model, benchmark, config, folder, resolve_device(device, world.local_rank), world, track)
        if resume and not trainer.resume() and world.is_first:
            _no_finished_run(folder)
        world.wait()
        trainer.run()
        if world.is_first:
            # a finished training has nothing to resume, and the state is as large as the weights and twice that
            (folder / STATE).unlink(missing_ok=True)
        return trainer.report()


def _no_finished_run(folder: Path) -> None:
    if (folder / "best.pth").exists():
        raise InputError(
            f"The training in {folder} is finished: there is nothing to resume. Its result is best.pth; to train "
            "longer, start anew with more epochs."
        )


def _check_cameras(benchmark: Benchmark, cameras: int) -> None:
    outside = sorted({sample.camera for sample in benchmark.train if not 0 <= sample.camera < cameras})
    if outside:
        raise InputError(
            f"{benchmark.name} has {cameras} cameras (0 to {cameras - 1}), but the training images name "
            f"{', '.join(map(str, outside[:10]))}. Check the file names."
        )
