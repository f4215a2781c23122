"""Training from a folder of images to a checkpoint."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, TrainingError
from ..runtime.data.benchmarks import benchmark_info, read_benchmark
from ..runtime.data.sample import Benchmark
from ..runtime.evaluate import evaluate_benchmark
from ..runtime.files import make_folder
from ..runtime.preprocess import Preprocessing
from ..runtime.progress import Track, silent
from .config import TrainConfig
from .dataset import TriModalDataset, build_loader, split_training
from .device import autocast, resolve_device, resolve_precision
from .evaluate import torch_feature_function
from .losses import PairLosses, pair_losses
from .models.mambapro import MambaPro
from .models.sizes import build_model
from .models.weights import save_checkpoint
from .optimizer import EpochSchedule, build_optimizer, freeze_pretrained
from .report import CsvLog, EpochMeter, EpochRecord, FitReport
from .sampler import IdentitySampler
from .transforms import TrainTransform

logger = logging.getLogger("mambapro")


def fit(
    config: TrainConfig,
    data_root: str | os.PathLike[str],
    dataset: str,
    out: str | os.PathLike[str],
    *,
    initialise: Callable[[MambaPro], Any] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    track: Track = silent,
) -> FitReport:
    """Train a model on a benchmark's training part; writes `best.pth`, `last.pth` and `log.csv` into `out`.

    `initialise` is called on the new model, to load pretrained weights into it; a frozen backbone needs that. The same
    config, data, device and number of threads give the same weights.

    Raises:
        InputError: data, recipe or `out` that cannot be used.
        SetupError: `device` is not there, or no room on the disk.
        TrainingError: the loss is no number any more.
    """
    if config.model.frozen and initialise is None:
        raise InputError(
            f"The recipe {config.name!r} freezes the backbone, so it needs pretrained weights to start from. "
            "Give them, or set model.frozen to false and train it from scratch."
        )
    info = benchmark_info(dataset)
    benchmark = read_benchmark(dataset, data_root)
    _check_cameras(benchmark, info.cameras)
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
    return train_model(model, benchmark, config, out, device=device, overwrite=overwrite, track=track)


def train_model(
    model: MambaPro,
    benchmark: Benchmark,
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    overwrite: bool = False,
    track: Track = silent,
) -> FitReport:
    """Train a model that exists already; everything else as `fit`."""
    folder = _output_folder(Path(out), overwrite)
    trainer = _Trainer(model, benchmark, config, folder, resolve_device(device), track)
    for epoch in track(range(1, config.solver.epochs + 1), "training", config.solver.epochs):
        trainer.run_epoch(epoch)
    return trainer.report()


class _Trainer:
    """The state of one training run."""

    def __init__(
        self,
        model: MambaPro,
        benchmark: Benchmark,
        config: TrainConfig,
        folder: Path,
        device: torch.device,
        track: Track,
    ) -> None:
        self.config, self.folder, self.device, self.track = config, folder, device, track
        self.precision = resolve_precision(config.precision, device)
        self.model = model.to(device)
        training, self.validation = split_training(benchmark, config)
        self._prepare_data(training)
        self._prepare_solver()
        self.log = CsvLog(folder / "log.csv")
        self.records: list[EpochRecord] = []
        self.best_epoch, self.best_map = 0, -1.0
        self.started = time.perf_counter()

    def _prepare_data(self, benchmark: Benchmark) -> None:
        config, model = self.config, self.model.config
        transform = TrainTransform(config.augmentation, model.pixel_mean, model.pixel_std)
        self.dataset = TriModalDataset(benchmark.train, model.image_size, transform, seed=config.seed, track=self.track)
        if len(self.dataset.identities) != model.identities:
            raise InputError(
                f"The model's classifier has {model.identities} identities, the training set "
                f"{len(self.dataset.identities)}. Build the model for this training set."
            )
        solver = config.solver
        self.sampler = IdentitySampler(
            self.dataset.labels, solver.identities_per_batch, solver.images_per_identity, config.seed
        )
        self.loader = build_loader(
            self.dataset, self.sampler, workers=config.workers, pin_memory=self.device.type == "cuda"
        )
        self.name = benchmark.name

    def _prepare_solver(self) -> None:
        solver = self.config.solver
        if self.config.model.frozen:
            freeze_pretrained(self.model)
        self.optimizer = build_optimizer(
            self.model.named_parameters(),
            base=solver.base_lr,
            bias_factor=solver.bias_lr_factor,
            pretrained=solver.backbone_lr,
            weight_decay=solver.weight_decay,
        )
        self.schedule = EpochSchedule(
            self.optimizer, base=solver.base_lr, warmup=solver.warmup_epochs, epochs=solver.epochs
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")

    def run_epoch(self, epoch: int) -> None:
        """Train one epoch, validate, log, save."""
        self.schedule.apply(epoch)
        self.sampler.set_epoch(epoch)
        self.dataset.set_epoch(epoch)
        # Dropout and the like depend on the epoch alone, whatever was drawn before.
        torch.manual_seed(self.config.seed + epoch)
        self.model.train()
        meter, started = EpochMeter(), time.perf_counter()
        for number, (images, labels, cameras) in enumerate(self.loader, 1):
            self._step(images, labels, cameras, meter, f"epoch {epoch}, batch {number}")
        self._check_weights(epoch)
        record = meter.record(epoch, self._rate(), time.perf_counter() - started)
        if self.validation is not None:
            record = replace(record, validation_map=self._validate())
        self._keep(record)

    def _step(self, images: Tensor, labels: Tensor, cameras: Tensor, meter: EpochMeter, place: str) -> None:
        images, labels, cameras = (part.to(self.device, non_blocking=True) for part in (images, labels, cameras))
        with autocast(self.precision, self.device):
            outputs = self.model(images, cameras)
        solver = self.config.solver
        losses = pair_losses(
            outputs,
            labels,
            id_weight=solver.id_weight,
            triplet_weight=solver.triplet_weight,
            smoothing=solver.label_smoothing,
            margin=solver.margin,
        )
        self._check_loss(losses, place)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses.total).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        right = (outputs[-1][0].argmax(dim=1) == labels).sum()
        meter.add([losses.total, right, *(part for head in losses.heads for part in head)], len(labels))

    def _check_loss(self, losses: PairLosses, place: str) -> None:
        value = losses.total.item()
        if math.isfinite(value):
            return
        heads = ", ".join(f"{h.cross_entropy.item():.4g} and {h.triplet.item():.4g}" for h in losses.heads)
        raise TrainingError(
            f"The loss became {value} in {place} (cross entropy and triplet of each head: {heads}). "
            f"{self._last_good()} Lower solver.base_lr, or train in float32 if it was half precision."
        )

    def _check_weights(self, epoch: int) -> None:
        bad = [name for name, value in self.model.state_dict().items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise TrainingError(
                f"After epoch {epoch} {len(bad)} tensors hold NaN or infinity, the first of them {bad[0]}. "
                f"{self._last_good()} Lower solver.base_lr."
            )

    def _last_good(self) -> str:
        if not self.records:
            return "No epoch was complete, so no checkpoint was written."
        return f"The weights after epoch {self.records[-1].epoch} are in {self.folder / 'last.pth'}."

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _validate(self) -> float:
        assert self.validation is not None
        model = self.model.config
        preprocessing = Preprocessing(*model.image_size, mean=model.pixel_mean, std=model.pixel_std)
        return evaluate_benchmark(self.validation, torch_feature_function(self.model), preprocessing).map

    def _keep(self, record: EpochRecord) -> None:
        self._save("last.pth", record.epoch)
        self.records.append(record)
        self.log.write(record)
        logger.info("%s", record)
        better = record.validation_map is None or record.validation_map > self.best_map
        final = record.epoch == self.config.solver.epochs
        if better:
            self.best_epoch, self.best_map = record.epoch, record.validation_map or 0.0
        # Without validation the last epoch is kept, and only it is known to be the last.
        if better and (self.validation is not None or final):
            self._save("best.pth", record.epoch)

    def _save(self, name: str, epoch: int) -> None:
        training = {"dataset": self.name, "epoch": epoch, "config": self.config.to_json()}
        save_checkpoint(self.model, self.folder / name, training=training)

    def report(self) -> FitReport:
        """The run as a whole; call after the last epoch."""
        return FitReport(
            dataset=self.name,
            recipe=self.config.name,
            checkpoint=str(self.folder / "best.pth"),
            last=str(self.folder / "last.pth"),
            best_epoch=self.best_epoch,
            seconds=time.perf_counter() - self.started,
            samples=len(self.dataset),
            identities=len(self.dataset.identities),
            validation_identities=self.config.validation_identities,
            trainable=sum(value.numel() for value in self.model.parameters() if value.requires_grad),
            device=str(self.device),
            precision=self.precision,
            epochs=tuple(self.records),
        )


def _output_folder(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not overwrite:
        raise InputError(f"{folder} exists already. Choose another --out, or replace it with --overwrite.")
    make_folder(folder)
    # Should this run fail, nothing of an earlier one may pass for its result.
    for name in ("best.pth", "last.pth", "log.csv"):
        (folder / name).unlink(missing_ok=True)
    return folder


def _check_cameras(benchmark: Benchmark, cameras: int) -> None:
    outside = sorted({sample.camera for sample in benchmark.train if not 0 <= sample.camera < cameras})
    if outside:
        raise InputError(
            f"{benchmark.name} has {cameras} cameras (0 to {cameras - 1}), but the training images name "
            f"{', '.join(map(str, outside[:10]))}. Check the file names."
        )
