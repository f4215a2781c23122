"""Training images on disk as uint8 arrays, cached where they are few, and the loader of their batches."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...common.children import tie_to_parent
from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.data.image_settings import ImageSettings, image_settings, set_image_settings
from ...runtime.data.preprocess import load_sources, resize
from ...runtime.data.sample import Sample
from .open_files_limit import require_open_files
from .worker_files import folder_of_workers, use_folder

#: Bytes of the cache: images that fit after resizing are kept decoded in memory.
CACHE_BYTES = 1 << 30


class TrainingImages(Dataset[Any]):
    """Base of data sets: the resized images of samples.

    An item depends on (seed, epoch, index) only, not on the number of workers: call `set_epoch` before each epoch.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        image_size: tuple[int, int],
        *,
        images: int,
        resample: str,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        track: Track = silent,
        text: str = "reading training images",
    ) -> None:
        """Prepare the samples.

        Args:
            samples: of `images` images each.
            image_size: (height, width) in pixels.
            images: number of images of a sample.
            resample: name of the resize filter.
            seed: of the augmentation.
            cache_bytes: most bytes that are kept in memory.
            track: of the reading.
            text: for the progress.

        Raises:
            InputError: no sample, or (when caching) an image that cannot be read.
        """
        if not samples:
            raise InputError("The training set holds no sample.")
        self.samples, self.image_size, self.seed = tuple(samples), image_size, seed
        self._shape, self._resample = (images, *image_size, 3), resample
        # Shared with worker processes, which live on while the epoch changes.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        size = len(samples) * int(np.prod(self._shape))
        self._cache = self._read_all(track, text) if size <= cache_bytes else None

    @property
    def epoch(self) -> int:
        """The epoch that determines the augmentation."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that determines the augmentation of the next items."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.samples)

    def pixels(self, index: int) -> np.ndarray:
        """Return the resized images of a sample, uint8 (images, H, W, 3)."""
        return self._read(index) if self._cache is None else self._cache[index]

    def _read(self, index: int) -> np.ndarray:
        images = load_sources(self.samples[index].sources)
        return np.stack([np.asarray(resize(image, self.image_size, self._resample)) for image in images])

    def _read_all(self, track: Track, text: str) -> np.ndarray:
        images = np.empty((len(self.samples), *self._shape), dtype=np.uint8)
        for index in track(range(len(self.samples)), text, len(self.samples)):
            images[index] = self._read(index)
        return images


def build_loader(
    dataset: TrainingImages, batches: Iterable[list[Any]], *, workers: int = 0, pin_memory: bool = False
) -> DataLoader[Any]:
    """Build a loader of a data set's batches in the order of the batch sampler.

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
