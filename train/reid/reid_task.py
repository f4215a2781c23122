"""Re-identification as a training task."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ...common.progress import Track
from ...errors import InputError
from ...runtime.data.image_settings import image_settings
from ...runtime.data.modalities import MODALITIES
from ...runtime.data.range_survey import survey, tell_range
from ...runtime.data.readers.benchmarks import BENCHMARKS, benchmark_info, read_benchmark
from ...runtime.data.sample import Benchmark
from ...runtime.data.sixteen_bit import FULL_RANGE
from ...runtime.evaluation.retrieval.evaluate import evaluate_benchmark
from ..engine.distributed import World
from ..engine.feature_function import torch_feature_function
from ..engine.task import StepLosses, Task
from ..engine.training_config import TrainConfig
from ..engine.training_images import build_loader
from ..engine.transforms import TrainTransform
from ..models.mambapro.mambapro import MambaPro
from ..models.mambapro.sizes import build_model
from ..models.model_spec import Model
from .dataset import ReidBatch, TriModalDataset, fingerprint, split_training
from .losses import pair_losses
from .sampler import IdentitySampler
from .training_memory import require_memory


class ReidTask(Task):
    """Training on identities of a benchmark: P x K batches, cross entropy and triplets, validation by mAP."""

    def __init__(self, benchmark: Benchmark, config: TrainConfig) -> None:
        """Split validation identities off, see `split_training`.

        Raises:
            InputError: too few identities.
        """
        self.config, self.dataset = config, benchmark.name
        self.training, self.validation = split_training(benchmark, config)
        self.fingerprint = fingerprint(self.training, self.validation)
        self.validates = self.validation is not None
        self.identities = len({sample.identity for sample in self.training.train})

    @classmethod
    def knows(cls, dataset: str) -> bool:
        """Return True for the benchmarks of re-identification."""
        return dataset in BENCHMARKS and BENCHMARKS[dataset].identities > 0

    @classmethod
    def read(cls, config: TrainConfig, root: str | os.PathLike[str], dataset: str) -> ReidTask:
        """Read the benchmark in a folder."""
        benchmark = read_benchmark(dataset, root)
        _check_cameras(benchmark, benchmark_info(dataset).cameras)
        _tell_ranges(benchmark)
        return cls(benchmark, config)

    def build_model(self) -> MambaPro:
        """Build MambaPro for the benchmark's identities and cameras."""
        info, model = benchmark_info(self.dataset), self.config.model
        return build_model(
            model.size,
            image_size=model.image_size_for(info.image_size),
            cameras=info.cameras,
            identities=self.identities,
            direct=model.direct,
            **model.overrides,
        )

    def require_memory(self, model: Model, processes: int) -> None:
        """Raise SetupError if a training on the CPU does not fit into memory."""
        require_memory(model.config, self.config, processes)

    def prepare(self, model: Model, device: torch.device, world: World, track: Track) -> DataLoader[Any]:
        """Return the loader of the batches."""
        config, sizes, solver = self.config, model.config, self.config.solver
        transform = TrainTransform(config.augmentation, sizes.pixel_mean, sizes.pixel_std)
        self.images = TriModalDataset(self.training.train, sizes.image_size, transform, seed=config.seed, track=track)
        if self.identities != sizes.identities:
            raise InputError(
                f"The model's classifier has {sizes.identities} identities, the training set {self.identities}. "
                "Build the model for this training set."
            )
        self.sampler = IdentitySampler(
            self.images.labels, solver.identities_per_batch, solver.images_per_identity, config.seed, world
        )
        return build_loader(self.images, self.sampler, workers=config.workers, pin_memory=device.type == "cuda")

    def set_epoch(self, epoch: int, skip: int) -> None:
        """Choose the next epoch of the loader, without its first `skip` batches."""
        self.sampler.set_epoch(epoch, skip)
        self.images.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def inputs(self, batch: ReidBatch) -> tuple[Tensor, Tensor]:
        """Return images (B, 3, 3, H, W) and cameras (B,) of a batch."""
        return batch.images, batch.cameras

    def losses(self, outputs: Any, batch: ReidBatch, gather: Callable[[Tensor], Tensor]) -> StepLosses:
        """Compute cross entropy and triplet loss of every head."""
        solver = self.config.solver
        losses = pair_losses(
            outputs,
            batch.labels,
            gather=gather,
            id_weight=solver.id_weight,
            triplet_weight=solver.triplet_weight,
            smoothing=solver.label_smoothing,
            margin=solver.margin,
        )
        # the last head is that of the fused feature
        score, _ = outputs[-1]
        parts = {
            f"head{number}_{name}": value
            for number, head in enumerate(losses.heads)
            for name, value in head._asdict().items()
        }
        return StepLosses(losses.total, (score.argmax(dim=1) == batch.labels).sum(), parts)

    def validate(self, model: Model, track: Track) -> dict[str, float]:
        """Return the mAP on the validation part."""
        assert self.validation is not None
        preprocessing = model.config.preprocessing.with_ranges(None, MODALITIES)
        report = evaluate_benchmark(self.validation, torch_feature_function(model), preprocessing, track=track)
        return {self.metric: report.map}

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of samples, identities and cameras."""
        chosen = () if self.validation is None or self.config.select_on_test else self.validation.query
        held = len({sample.identity for sample in chosen})
        return {"samples": len(self.training.train), "identities": self.identities, "validation_identities": held}

    def __str__(self) -> str:
        return f"{len(self.training.train)} samples of {self.identities} identities"


def _tell_ranges(benchmark: Benchmark) -> None:
    """Warn if 16-bit images use only a small part of the range that they are trained with."""
    for modality in MODALITIES:
        surveyed = survey(sample.sources[modality].path for sample in benchmark.train if modality in sample.sources)
        limits = image_settings().sixteen_bit_range.get(modality, FULL_RANGE)
        tell_range(modality, surveyed, limits)


def _check_cameras(benchmark: Benchmark, cameras: int) -> None:
    outside = sorted({sample.camera for sample in benchmark.train if not 0 <= sample.camera < cameras})
    if outside:
        raise InputError(
            f"{benchmark.name} has {cameras} cameras (0 to {cameras - 1}), but the training images name "
            f"{', '.join(map(str, outside[:10]))}. Check the file names."
        )
