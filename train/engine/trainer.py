"""Epoch loop of a training run."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ...common.foreign_text import shown_text
from ...common.progress import Track
from ...errors import ArtifactError, InputError, TrainingError
from ..models.model_spec import Model
from .device import peak_mebibytes, resolve_precision
from .distributed import World
from .image_ranges import noted_ranges
from .optimizer import EpochSchedule
from .recipe import Recipe
from .run_files import RunFiles
from .state import NAME as STATE
from .state import State, check_state, read_state
from .step import NotFiniteError, TrainingStep
from .task import Task
from .training_report import EpochMeter, EpochRecord, FitReport

logger = logging.getLogger("mambapro")


class Trainer:
    """State of one training run."""

    def __init__(
        self,
        model: Model,
        task: Task,
        config: Recipe,
        folder: Path,
        device: torch.device,
        world: World,
        track: Track,
    ) -> None:
        self.task, self.config, self.device, self.world, self.track = task, config, device, world, track
        self.precision = resolve_precision(config.precision, device)
        self.model = model.to(device)
        self.loader = task.prepare(self.model, device, world, track)
        self._prepare_solver()
        self.network = world.wrap(self.model, device)
        self.step = TrainingStep(
            self.network, task, self.optimizer, self.scaler, config.solver.accumulate, self.precision, device, world
        )
        self.files = RunFiles(folder, self.model, task.dataset, config, task.facts)
        self.records: list[EpochRecord] = []
        self.epoch, self.batch, self.meter = 0, 0, EpochMeter()
        self.started = time.perf_counter()

    def _prepare_solver(self) -> None:
        solver = self.config.solver
        self.config.freeze(self.model)
        self.optimizer = solver.build(self.model)
        self.schedule = EpochSchedule(
            self.optimizer,
            base=solver.base_lr,
            warmup=solver.warmup_epochs,
            epochs=solver.epochs,
            lowest=solver.lowest,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")

    def run(self) -> None:
        """Train all remaining epochs."""
        epochs = range(self.epoch + 1, self.config.solver.epochs + 1)
        for epoch in self.track(epochs, "Training epochs", len(epochs)):
            self.run_epoch(epoch)

    def run_epoch(self, epoch: int) -> None:
        """Train an epoch, or the rest of one, validate, log, save."""
        self.schedule.apply(epoch)
        self.task.set_epoch(epoch, self.batch)
        if self.batch == 0:
            self.meter = EpochMeter()
        self.network.train()
        started, before, total = time.perf_counter(), self.meter.samples, len(self.task)
        text = f"epoch {epoch}, batches"
        for batch in self.track(self.loader, text, total - self.batch):
            self.batch += 1
            self._seed(epoch)
            moved = batch._make(part.to(self.device, non_blocking=True) for part in batch)
            try:
                self.meter.add(self.step(moved, self.batch, total), len(moved[0]))
            except NotFiniteError as error:
                raise self._not_finite(error, f"epoch {epoch}, batch {self.batch}") from None
            self._save_within()
        self._check_weights(epoch)
        # the time of a resumed epoch covers only the part after the resume
        seconds = (time.perf_counter() - started) * self.meter.samples / max(self.meter.samples - before, 1)
        record = self.meter.record(epoch, self._rate(), seconds, peak_mebibytes(self.device), self.world)
        self.epoch, self.batch = epoch, 0
        self._keep(record)

    def _seed(self, epoch: int) -> None:
        """Seed the generators by batch, so that dropout does not depend on earlier draws or other processes."""
        words = np.random.SeedSequence((self.config.seed, epoch, self.batch, self.world.rank)).generate_state(1)
        torch.manual_seed(int(words[0]))

    def _not_finite(self, error: NotFiniteError, where: str) -> TrainingError:
        """Save the weights if they are finite; return the error with the location of the batch and of the weights."""
        parts = ", ".join(f"{name} {value.item():.4g}" for name, value in error.losses.parts.items())
        if self._bad_weights():
            held = self._last_good()
        else:
            if self.world.is_first:
                self.files.save("last.pth", self.epoch)
            held = f"The weights before this batch are in {self.files.folder / 'last.pth'}."
        return TrainingError(
            f"The loss became {error.value} in {where} ({parts}). {held} Lower solver.base_lr, or train in float32 if "
            "it was half precision."
        )

    def _bad_weights(self) -> list[str]:
        return [name for name, value in self.model.state_dict().items() if not bool(torch.isfinite(value).all())]

    def _check_weights(self, epoch: int) -> None:
        if bad := self._bad_weights():
            raise TrainingError(
                f"After epoch {epoch} {len(bad)} tensors hold NaN or infinity, the first of them {bad[0]}. "
                f"{self._last_good()} Lower solver.base_lr."
            )

    def _last_good(self) -> str:
        if not self.records:
            return "No epoch was complete, so no checkpoint was written."
        return f"The weights after epoch {self.records[-1].epoch} are in {self.files.folder / 'last.pth'}."

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _keep(self, record: EpochRecord) -> None:
        """Validate and write the files of an epoch in the first process; the others wait."""
        record = replace(record, metric=self.task.metric)
        if self.world.is_first:
            if self.task.validates:
                record = record.with_metrics(self.task.validate(self.model, self.track))
            with self.files.room_wanted():
                self.files.write_epoch(record)
                if record.epoch < self.config.solver.epochs:
                    self.files.write_state(self._state([*self.records, record]))
        self.world.wait()
        self.records.append(record)

    def _save_within(self) -> None:
        """Write the state inside an epoch if configured; only between two optimizer steps."""
        interval = self.config.save_every * self.config.solver.accumulate
        if interval and self.batch % interval == 0 and self.batch < len(self.task):
            if self.world.is_first:
                with self.files.room_wanted():
                    self.files.write_state(self._state(self.records))
            self.world.wait()

    def _state(self, records: list[EpochRecord]) -> State:
        return State(
            config=self.config.to_json(),
            data=self.task.fingerprint,
            epoch=self.epoch,
            batch=self.batch,
            best_epoch=self.files.best_epoch,
            best_map=self.files.best,
            seconds=time.perf_counter() - self.started,
            tensors={
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                **({"constants": constants} if (constants := self._constants()) else {}),
            },
            meter=self.meter.state() if self.batch else None,
            records=[asdict(record) for record in records],
            ranges=noted_ranges(),
        )

    def _constants(self) -> dict[str, torch.Tensor]:
        """Return the model's constants, which its state dict does not hold."""
        values = {name: getattr(self.model, name) for name in self.model.constants}
        return {name: value.detach().cpu() for name, value in values.items() if value is not None}

    def _check_constants(self, before: dict[str, torch.Tensor]) -> None:
        now = self._constants()
        if before.keys() != now.keys() or not all(torch.equal(value, now[name]) for name, value in before.items()):
            raise InputError(
                "The training to resume had other words of the labels. Give the same ones, or start anew in another "
                "folder."
            )

    def resume(self) -> bool:
        """Resume from the state in the folder; return False if there is none.

        Raises:
            InputError: it has another recipe or other data.
            ArtifactError: it is damaged.
        """
        self.files.adopt()
        state = read_state(self.files.folder)
        if state is None:
            self.files.log.restart([])
            return False
        check_state(state, self.config, self.task.fingerprint)
        self._check_constants(state.tensors.get("constants", {}))
        try:
            self._restore(state)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ArtifactError(
                f"{shown_text(self.files.folder / STATE)} does not fit this training: {shown_text(error)}. A training "
                "is resumed only with all of its tensors, classifiers and the optimizer's included; to start again, "
                "remove it."
            ) from error
        if self.world.is_first:
            self.files.log.restart(self.records)
        logger.info("resuming after epoch %d, batch %d", self.epoch, self.batch)
        return True

    def _restore(self, state: State) -> None:
        self.model.load_state_dict(state.tensors["model"])
        self.optimizer.load_state_dict(state.tensors["optimizer"])
        self.scaler.load_state_dict(state.tensors["scaler"])
        self.epoch, self.batch = state.epoch, state.batch
        self.files.best_epoch, self.files.best = state.best_epoch, state.best_map
        self.records = [EpochRecord.from_json(values) for values in state.records]
        self.files.saved_epoch = len(self.records) if "last.pth" in self.files.own else 0
        self.started = time.perf_counter() - state.seconds
        if state.meter is not None:
            self.meter.restore(state.meter, self.device)

    def report(self) -> FitReport:
        """Return the report of the run; call after the last epoch."""
        return FitReport(
            dataset=self.task.dataset,
            recipe=self.config.name,
            checkpoint=str(self.files.folder / "best.pth"),
            last=str(self.files.folder / "last.pth"),
            best_epoch=self.files.best_epoch,
            seconds=time.perf_counter() - self.started,
            data=str(self.task),
            counts=self.task.counts,
            baseline=self.task.baseline,
            trainable=sum(value.numel() for value in self.model.parameters() if value.requires_grad),
            device=str(self.device),
            precision=self.precision,
            epochs=tuple(self.records),
        )
