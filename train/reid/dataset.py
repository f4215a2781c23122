"""Training data set: samples on disk as tensors."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ...common.children import tie_to_parent
from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.image_settings import ImageSettings, image_settings, set_image_settings
from ...runtime.data.preprocess import load_sources, resize
from ...runtime.data.sample import Benchmark, Sample
from ..engine.open_files_limit import require_open_files
from ..engine.training_config import TrainConfig
from ..engine.worker_files import folder_of_workers, use_folder
from .sampler import Draw
from .transforms import TrainTransform

#: Bytes of the cache: training sets that fit after resizing are kept decoded in memory.
CACHE_BYTES = 1 << 30


class ReidBatch(NamedTuple):
    """Images float32 (B, 3 modalities, 3, H, W), labels and cameras int64 (B,); a single item has no first axis."""

    images: Tensor
    labels: Any
    cameras: Any


class TriModalDataset(Dataset[ReidBatch]):
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
        if not samples:
            raise InputError("The training set holds no sample.")
        self.samples, self.image_size, self.seed = tuple(samples), image_size, seed
        self.identities = tuple(sorted({sample.identity for sample in samples}))
        label_of = {identity: label for label, identity in enumerate(self.identities)}
        self.labels = [label_of[sample.identity] for sample in samples]
        self._transform = transform
        # Shared with worker processes, which live on while the epoch changes.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        size = len(samples) * 3 * image_size[0] * image_size[1] * 3
        self._cache = self._read_all(track) if size <= cache_bytes else None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that determines the augmentation of the next items."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: int | Draw) -> ReidBatch:
        index, repeat = item if isinstance(item, tuple) else (item, 0)
        images = self._read(index) if self._cache is None else self._cache[index]
        random = np.random.default_rng((self.seed, int(self._epoch), index, repeat))
        tensor = torch.from_numpy(self._transform(images, random))
        return ReidBatch(tensor, self.labels[index], self.samples[index].camera)

    def _read(self, index: int) -> np.ndarray:
        images = load_sources(self.samples[index].sources)
        return np.stack([np.asarray(resize(image, self.image_size, "bicubic")) for image in images])

    def _read_all(self, track: Track) -> np.ndarray:
        images = np.empty((len(self.samples), 3, *self.image_size, 3), dtype=np.uint8)
        for index in track(range(len(self.samples)), "Reading training images", len(self.samples)):
            images[index] = self._read(index)
        return images


def build_loader(
    dataset: TriModalDataset, batches: Sampler[list[Draw]], *, workers: int = 0, pin_memory: bool = False
) -> DataLoader[Any]:
    """Build a loader of ReidBatch in the order of the batch sampler.

    The content does not depend on `workers`; with 0 the calling process prepares the images.

    Raises:
        SetupError: the limit on open files is too low for so many workers.
    """
    require_open_files(workers)
    begin = _Begin(_parent_of_workers(), image_settings())
    if workers:
        begin.folder = folder_of_workers(begin)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=begin if workers else None,
        # PyTorch seeds the workers (torch, random, numpy) from here; else it would use up the global generator.
        generator=torch.Generator().manual_seed(dataset.seed),
    )


def _parent_of_workers() -> int | None:
    """Return the id of this process, or None if a server forks the workers (the default from Python 3.14)."""
    return None if multiprocessing.get_start_method() == "forkserver" else os.getpid()


@dataclass
class _Begin:
    """Initialization of a worker: it ends with the training, even if that is killed, and shares its image settings."""

    parent: int | None
    settings: ImageSettings
    folder: Path | None = None

    def __call__(self, number: int) -> None:
        tie_to_parent(os.getppid() if self.parent is None else self.parent)
        set_image_settings(self.settings)
        use_folder(self.folder)


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
