"""The epochs of a training run, and what it leaves on disk."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ...common.foreign_text import shown_text
from ...common.progress import Track
from ...errors import ArtifactError, InputError, SetupError, TrainingError
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.retrieval.evaluate import evaluate_benchmark
from ..models.checkpoints.weights import save_checkpoint
from ..models.mambapro.mambapro import MambaPro
from ..reid.dataset import TriModalDataset, build_loader, fingerprint, split_training
from ..reid.evaluate import torch_feature_function
from ..reid.sampler import IdentitySampler
from ..reid.transforms import TrainTransform
from .device import peak_memory, resolve_precision
from .distributed import World
from .image_ranges import noted_ranges
from .optimizer import EpochSchedule, build_optimizer, freeze_pretrained
from .run_folder import FILES
from .state import NAME as STATE
from .state import State, check_state, read_state, write_state
from .step import NotFiniteError, TrainingStep
from .training_config import TrainConfig
from .training_report import LOG, CsvLog, EpochMeter, EpochRecord, FitReport

logger = logging.getLogger("mambapro")


class Trainer:
    """The state of one training run."""

    def __init__(
        self,
        model: MambaPro,
        benchmark: Benchmark,
        config: TrainConfig,
        folder: Path,
        device: torch.device,
        world: World,
        track: Track,
    ) -> None:
        self.config, self.folder, self.device, self.world, self.track = config, folder, device, world, track
        self.precision = resolve_precision(config.precision, device)
        self.model = model.to(device)
        training, self.validation = split_training(benchmark, config)
        self.data = fingerprint(training, self.validation)
        self._prepare_data(training)
        self._prepare_solver()
        self.network = world.wrap(self.model, device)
        self.step = TrainingStep(
            self.network, self.optimizer, self.scaler, config.solver, self.precision, device, world
        )
        self.log = CsvLog(folder / LOG)
        # names of files that this run may replace: those it wrote, or goes on from
        self.own: set[str] = set()
        self.saved_epoch = 0
        self.records: list[EpochRecord] = []
        self.epoch, self.batch, self.meter = 0, 0, EpochMeter()
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
            self.dataset.labels, solver.identities_per_batch, solver.images_per_identity, config.seed, self.world
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

    def run(self) -> None:
        """All epochs that are left."""
        epochs = range(self.epoch + 1, self.config.solver.epochs + 1)
        for epoch in self.track(epochs, "Training epochs", len(epochs)):
            self.run_epoch(epoch)

    def run_epoch(self, epoch: int) -> None:
        """Train one epoch, or the rest of one, validate, log, save."""
        self.schedule.apply(epoch)
        self.sampler.set_epoch(epoch, self.batch)
        self.dataset.set_epoch(epoch)
        if self.batch == 0:
            self.meter = EpochMeter()
        self.network.train()
        started, before, total = time.perf_counter(), self.meter.samples, len(self.sampler)
        text = f"epoch {epoch}, batches"
        for images, labels, cameras in self.track(self.loader, text, total - self.batch):
            self.batch += 1
            self._seed(epoch)
            x, y, z = (part.to(self.device, non_blocking=True) for part in (images, labels, cameras))
            try:
                self.meter.add(*self.step(x, y, z, self.batch, total))
            except NotFiniteError as error:
                raise self._not_finite(error, f"epoch {epoch}, batch {self.batch}") from None
            self._save_within()
        self._check_weights(epoch)
        # of an epoch that was resumed the part before is not in the time
        seconds = (time.perf_counter() - started) * self.meter.samples / max(self.meter.samples - before, 1)
        record = self.meter.record(epoch, self._rate(), seconds, peak_memory(self.device), self.world)
        self.epoch, self.batch = epoch, 0
        self._keep(record)

    def _seed(self, epoch: int) -> None:
        """Dropout and the like depend on the batch alone, whatever was drawn before or in another process."""
        words = np.random.SeedSequence((self.config.seed, epoch, self.batch, self.world.rank)).generate_state(1)
        torch.manual_seed(int(words[0]))

    def _not_finite(self, error: NotFiniteError, place: str) -> TrainingError:
        heads = ", ".join(f"{h.cross_entropy.item():.4g} and {h.triplet.item():.4g}" for h in error.losses.heads)
        return TrainingError(
            f"The loss became {error.value} in {place} (cross entropy and triplet of each head: {heads}). "
            f"{self._save_before()} Lower solver.base_lr, or train in float32 if it was half precision."
        )

    def _save_before(self) -> str:
        """Keep the weights the bad batch found, unless they are bad themselves; says what there is."""
        if self._bad_weights():
            return self._last_good()
        if self.world.is_first:
            self._save("last.pth", self.epoch)
        return f"The weights before this batch are in {self.folder / 'last.pth'}."

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
        return f"The weights after epoch {self.records[-1].epoch} are in {self.folder / 'last.pth'}."

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _keep(self, record: EpochRecord) -> None:
        """Validate and write what an epoch leaves; the first process alone, the others wait."""
        if self.world.is_first:
            if self.validation is not None:
                record = replace(record, validation_map=self._validate())
            self._write(record)
        self.world.wait()
        self.records.append(record)

    def _validate(self) -> float:
        assert self.validation is not None
        preprocessing = self.model.config.preprocessing.with_ranges(None, self.model.spec.modalities)
        function = torch_feature_function(self.model)
        return evaluate_benchmark(self.validation, function, preprocessing, track=self.track).map

    def _write(self, record: EpochRecord) -> None:
        try:
            self._write_all(record)
        except SetupError as error:
            raise self._no_room(error) from error

    def _no_room(self, error: SetupError) -> SetupError:
        """The same error with what the folder holds all the same."""
        held = f"last.pth holds the weights after epoch {self.saved_epoch}." if self.saved_epoch else ""
        held += " --resume goes on from state.pth." if (self.folder / STATE).exists() else ""
        return SetupError(f"{error} {held.strip() or 'There are no weights of this training yet.'}")

    def _write_all(self, record: EpochRecord) -> None:
        self._save("last.pth", record.epoch)
        self.saved_epoch = record.epoch
        self.log.write(record)
        logger.info("%s", record)
        better = record.validation_map is None or record.validation_map > self.best_map
        final = record.epoch == self.config.solver.epochs
        if better:
            self.best_epoch, self.best_map = record.epoch, record.validation_map or 0.0
        # Without validation the last epoch is kept, and only it is known to be the last.
        if better and (self.validation is not None or final):
            self._save("best.pth", record.epoch)
        if not final:
            self._write_state([*self.records, record])

    def _save(self, name: str, epoch: int) -> None:
        training = {"dataset": self.name, "epoch": epoch, "config": self.config.to_json(), **noted_ranges()}
        save_checkpoint(self.model, self.folder / name, training=training, overwrite=name in self.own)
        self.own.add(name)

    def _save_within(self) -> None:
        """Write the state inside an epoch, where that is asked for; only between two steps of the optimiser."""
        every = self.config.save_every * self.config.solver.accumulate
        if every and self.batch % every == 0 and self.batch < len(self.sampler):
            if self.world.is_first:
                try:
                    self._write_state(self.records)
                except SetupError as error:
                    raise self._no_room(error) from error
            self.world.wait()

    def _write_state(self, records: list[EpochRecord]) -> None:
        state = State(
            config=self.config.to_json(),
            data=self.data,
            epoch=self.epoch,
            batch=self.batch,
            best_epoch=self.best_epoch,
            best_map=self.best_map,
            seconds=time.perf_counter() - self.started,
            tensors={
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
            },
            meter=self.meter.state() if self.batch else None,
            records=[asdict(record) for record in records],
            ranges=noted_ranges(),
        )
        write_state(self.folder, state, overwrite=STATE in self.own)
        self.own.add(STATE)

    def resume(self) -> bool:
        """Go on where the state in the folder stops; False if there is none.

        Raises:
            InputError: it is of another recipe or other data.
            ArtifactError: it is damaged.
        """
        self.own = {name for name in FILES if (self.folder / name).exists()}
        state = read_state(self.folder)
        if state is None:
            self.log.restart([])
            return False
        check_state(state, self.config, self.data)
        try:
            self._restore(state)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ArtifactError(
                f"{shown_text(self.folder / STATE)} does not fit this training: {shown_text(error)}. A training goes "
                "on with all of its tensors alone, classifiers and the optimiser's included; to begin anew, remove it."
            ) from error
        if self.world.is_first:
            self.log.restart(self.records)
        logger.info("resuming after epoch %d, batch %d", self.epoch, self.batch)
        return True

    def _restore(self, state: State) -> None:
        self.model.load_state_dict(state.tensors["model"])
        self.optimizer.load_state_dict(state.tensors["optimizer"])
        self.scaler.load_state_dict(state.tensors["scaler"])
        self.epoch, self.batch = state.epoch, state.batch
        self.best_epoch, self.best_map = state.best_epoch, state.best_map
        self.records = [EpochRecord.from_json(values) for values in state.records]
        self.saved_epoch = len(self.records) if "last.pth" in self.own else 0
        self.started = time.perf_counter() - state.seconds
        if state.meter is not None:
            self.meter.restore(state.meter, self.device)

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
            validation_identities=0 if self.config.select_on_test else self._validation_identities(),
            trainable=sum(value.numel() for value in self.model.parameters() if value.requires_grad),
            device=str(self.device),
            precision=self.precision,
            epochs=tuple(self.records),
        )

    def _validation_identities(self) -> int:
        return 0 if self.validation is None else len({sample.identity for sample in self.validation.query})
