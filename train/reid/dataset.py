"""Training data set: samples on disk as tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.modalities import MODALITIES
from ...runtime.data.sample import Benchmark, Sample
from ..engine.training_config import TrainConfig
from ..engine.training_images import CACHE_BYTES, TrainingImages
from ..engine.transforms import TrainTransform
from .sampler import Draw


class ReidBatch(NamedTuple):
    """Images float32 (B, 3 modalities, 3, H, W), labels and cameras int64 (B,); a single item has no first axis."""

    images: Tensor
    labels: Any
    cameras: Any


class TriModalDataset(TrainingImages):
    """Items of a training set; labels and cameras are numbers, which a batch has as tensors.

    Labels are 0..K-1 in ascending order of the identities. An item depends on (seed, epoch, index, repeat) only, not on
    the number of workers: call `set_epoch` before each epoch.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        image_size: tuple[int, int],
        transform: TrainTransform,
        *,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        track: Track = silent,
    ) -> None:
        """Prepare the samples; `image_size` is (height, width) in pixels.

        Raises:
            InputError: no sample, or (when caching) an image that cannot be read.
        """
        super().__init__(
            samples,
            image_size,
            images=len(MODALITIES),
            resample="bicubic",
            seed=seed,
            cache_bytes=cache_bytes,
            track=track,
        )
        self.identities = tuple(sorted({sample.identity for sample in samples}))
        label_of = {identity: label for label, identity in enumerate(self.identities)}
        self.labels = [label_of[sample.identity] for sample in samples]
        self._transform = transform

    def __getitem__(self, item: int | Draw) -> ReidBatch:
        index, repeat = item if isinstance(item, tuple) else (item, 0)
        random = np.random.default_rng((self.seed, self.epoch, index, repeat))
        tensor = torch.from_numpy(self._transform(self.pixels(index), random))
        return ReidBatch(tensor, self.labels[index], self.samples[index].camera)


def fingerprint(training: Benchmark, validation: Benchmark | None) -> str:
    """Hash names, identities and cameras of the training samples and of those that select the epoch, 16 hex digits."""
    parts = (training.train, validation.query if validation else (), validation.gallery if validation else ())
    rows = [[(s.name, s.identity, s.camera, s.scene) for s in part] for part in parts]
    return hashlib.sha256(json.dumps([training.name, rows]).encode()).hexdigest()[:16]


def split_training(benchmark: Benchmark, config: TrainConfig) -> tuple[Benchmark, Benchmark | None]:
    """Split validation identities off the training part.

    In the validation set every sample is query and gallery, under the benchmark's own junk rule; with `select_on_test`
    the benchmark's own query and gallery are used.

    Returns:
        the training samples, and the benchmark that selects the epoch or None.

    Raises:
        InputError: too few identities for the split, or none with a valid match in the validation set.
    """
    if config.select_on_test:
        return benchmark, replace(benchmark, train=())
    identities = sorted({sample.identity for sample in benchmark.train})
    count = config.held_out(len(identities))
    if count == 0:
        return benchmark, None
    if len(identities) - count < config.solver.identities_per_batch:
        raise InputError(
            f"Of {len(identities)} training identities {count} cannot be split off for validation: "
            f"a batch needs {config.solver.identities_per_batch}. Lower validation_identities."
        )
    held = set(np.random.default_rng(config.seed).choice(identities, count, replace=False).tolist())
    validation = tuple(sample for sample in benchmark.train if sample.identity in held)
    rest = tuple(sample for sample in benchmark.train if sample.identity not in held)
    _check_can_be_found(validation, benchmark.junk)
    return replace(benchmark, train=rest), replace(benchmark, train=(), query=validation, gallery=validation)


def _check_can_be_found(samples: Sequence[Sample], junk: str) -> None:
    """Check before the first epoch that at least one query has a valid match."""
    seen = {(sample.identity, getattr(sample, junk)) for sample in samples}
    if len(seen) == len({identity for identity, _ in seen}):
        raise InputError(
            f"None of the identities split off for validation has images of two {junk}s, so none could be found again. "
            "Take more of them (validation_identities), or 0 to keep the last epoch."
        )
