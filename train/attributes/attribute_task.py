"""Attribute recognition as a training task."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...common.foreign_text import shown_text
from ...common.progress import Track
from ...errors import InputError
from ...runtime.bundle.labels import Labels
from ...runtime.bundle.tasks import ATTRIBUTES
from ...runtime.data.attributes.attribute_readers import ANY, PUBLISHED
from ...runtime.data.readers.benchmarks import read_benchmark
from ...runtime.data.readers.listing import shown
from ...runtime.data.sample import Benchmark, Sample
from ...runtime.evaluation.attributes.attribute_metrics import evaluate_attributes
from ..engine.distributed import World
from ..engine.recipe import Recipe
from ..engine.task import StepLosses, Task
from ..engine.training_images import build_loader
from ..engine.transforms import TrainTransform
from ..models.attributes.attribute_model import AttributeModel
from ..models.attributes.text_attributes import TextAttributes
from ..models.model_spec import Model
from .attribute_images import (
    AttributeBatch,
    AttributeImages,
    PlainImages,
    ShuffledBatches,
    fingerprint,
    label_matrix,
    split_images,
)
from .attribute_losses import attribute_losses, label_ratios, prior_logits
from .attribute_memory import require_memory
from .attribute_recipe import METRICS, AttributeRecipe
from .label_words import hashed_tokens

log = logging.getLogger("mambapro")

#: Images of a batch of the validation.
_BATCH = 64


class AttributeTask(Task):
    """Training on the labels of images: weighted binary cross entropy, validation by mA or F1."""

    recipe: ClassVar[type[Recipe]] = AttributeRecipe

    def __init__(self, benchmark: Benchmark, config: AttributeRecipe) -> None:
        """Choose training and validation samples.

        Raises:
            InputError: the benchmark has no training images or no attributes, or too few images.
        """
        if benchmark.attributes is None or not benchmark.train:
            raise InputError(f"{shown_text(benchmark.name)} has no labeled training images. Give another data set.")
        self.config, self.dataset, self.metric = config, benchmark.name, config.metric
        self.training, self.validation = _split(benchmark, config)
        names = benchmark.attributes
        self.labels = Labels.of_attributes(names.names, names.words, names.exclusive)
        self.fingerprint = fingerprint(benchmark.name, names.names, names.words, (self.training, self.validation))
        self.validates = bool(self.validation)
        self.targets = label_matrix(self.training, names.names)
        self.truth = label_matrix(self.validation, names.names)
        self.ratios = torch.from_numpy(label_ratios(self.targets, config.solver.unknown))
        self._tell()

    @classmethod
    def knows(cls, dataset: str) -> bool:
        """Return True for the sets of labeled images; other benchmarks with labels have tasks of their own."""
        return dataset in (*PUBLISHED, ANY)

    @classmethod
    def read(cls, config: Any, root: str | os.PathLike[str], dataset: str) -> AttributeTask:
        """Read the data set in a folder."""
        return cls(read_benchmark(dataset, root), config)

    def build_model(self) -> AttributeModel:
        """Build the recipe's model for the data set's attributes."""
        settings = self.config.model
        model = settings.kind(settings.config(len(self.labels.names)))
        model.trained_on = self.facts
        if settings.prior_bias:
            self._set_biases(model)
        if settings.words == "hashed" and isinstance(model, TextAttributes):
            model.set_constants(label_tokens=hashed_tokens(self.labels.words))
        return model

    def _set_biases(self, model: AttributeModel) -> None:
        logits = torch.from_numpy(prior_logits(label_ratios(self.targets), len(self.targets)))
        with torch.no_grad():
            for module in model.children():
                if isinstance(module, nn.BatchNorm1d):
                    module.bias.copy_(logits)

    def require_memory(self, model: Model, processes: int) -> None:
        """Raise SetupError if a training on the CPU does not fit into memory."""
        require_memory(cast(AttributeModel, model), self.config, processes)

    def prepare(self, model: Model, device: torch.device, world: World, track: Track) -> DataLoader[Any]:
        """Return the loader of the batches."""
        sizes, seed = model.config, self.config.seed
        if sizes.attributes != len(self.labels.names):
            raise InputError(
                f"The model has {sizes.attributes} attributes, the data set {len(self.labels.names)}. Build the model "
                "for this data set."
            )
        if isinstance(model, TextAttributes):
            with torch.no_grad():
                # missing words, before any image is read
                model.label_matrix()
        settings = self.config.augmentation.settings(sizes.image_size)
        transform = TrainTransform(settings, sizes.pixel_mean, sizes.pixel_std)
        self.sampler = ShuffledBatches(len(self.training), self.config.solver.batch, seed, world)
        self.images = AttributeImages(self.training, self.targets, sizes.image_size, transform, seed=seed, track=track)
        self.ratios = self.ratios.to(device)
        workers = self.config.workers
        if self.validates and world.is_first:
            plain = PlainImages(self.validation, sizes.image_size, track=track)
            rows = range(len(self.validation))
            parts = [list(rows[first : first + _BATCH]) for first in range(0, len(rows), _BATCH)]
            self._plain = build_loader(plain, parts, workers=workers)
        return build_loader(self.images, self.sampler, workers=workers, pin_memory=device.type == "cuda")

    def set_epoch(self, epoch: int, skip: int) -> None:
        """Choose the next epoch of the loader, without its first `skip` batches."""
        self.sampler.set_epoch(epoch, skip)
        self.images.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def inputs(self, batch: AttributeBatch) -> tuple[Tensor]:
        """Return images (B, 3, H, W) of a batch."""
        return (batch.images,)

    def losses(self, outputs: Any, batch: AttributeBatch, gather: Callable[[Tensor], Tensor]) -> StepLosses:
        """Compute the weighted cross entropy, with a teacher the distillation too."""
        return attribute_losses(outputs, batch.labels, self.ratios, self.config.solver.unknown)

    def validate(self, model: Model, track: Track) -> dict[str, float]:
        """Return mA and F1 on the validation part."""
        attribute_model, training = cast(AttributeModel, model), model.training
        model.eval()
        try:
            with torch.inference_mode():
                parts = [
                    attribute_model.logits(attribute_model.normalized(images.numpy())).float().cpu().numpy()
                    for images in track(self._plain, "validating", len(self._plain))
                ]
        finally:
            model.train(training)
        return self._metrics(self.labels.assign(np.concatenate(parts)))

    @property
    def baseline(self) -> dict[str, float]:
        """mA and F1 of the answer that most training images have, label by label."""
        if not self.validates:
            return {}
        majority = label_ratios(self.targets) > 0.5
        return self._metrics(np.broadcast_to(majority, self.truth.shape))

    def _metrics(self, assigned: np.ndarray) -> dict[str, float]:
        values = evaluate_attributes(self.truth, assigned).values
        return {name: values[name] for name in (self.metric, *METRICS)}

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of images and attributes."""
        held = 0 if self.config.select_on_test else len(self.validation)
        return {"samples": len(self.training), "attributes": len(self.labels.names), "validation_images": held}

    @property
    def facts(self) -> dict[str, Any]:
        """Task, labels, and a hash of the data."""
        return {"task": ATTRIBUTES, "labels": self.labels.to_json(), "data": self.fingerprint}

    def __str__(self) -> str:
        return f"{len(self.training)} images, {len(self.labels.names)} attributes, {len(self.validation)} to validate"

    def _tell(self) -> None:
        """Log a warning about a selection on the test set, and about attributes that cannot be learned."""
        if self.config.select_on_test:
            log.warning("The best epoch is chosen on the test set, so its figures are optimistic.")
        positive, negative = ((self.targets == value).any(axis=0) for value in (1, 0))
        for kind, there in (("positive", positive), ("negative", negative)):
            if lacking := [name for name, any_ in zip(self.labels.names, there, strict=True) if not any_]:
                log.warning(
                    "No training image is a %s of %s: these attributes cannot be learned.", kind, shown(lacking)
                )


def _split(benchmark: Benchmark, config: AttributeRecipe) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    if config.select_on_test:
        join = benchmark.validation if config.train_on_validation else ()
        return benchmark.train + join, benchmark.query
    return split_images(benchmark, config.validation_images, config.seed, config.train_on_validation)
