"""Batches of P identities with K images each for the triplet loss (PK sampling, https://arxiv.org/abs/1703.07737)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from ...errors import InputError
from ..engine.distributed import World

logger = logging.getLogger("mambapro")


class Draw(NamedTuple):
    """One draw of a sample by its index. `repeat` counts its earlier draws in the epoch (0 for the first)."""

    sample: int
    repeat: int = 0


class IdentitySampler(Sampler[list[Draw]]):
    """Iterable of batches (lists of P x K draws) for a DataLoader's `batch_sampler`.

    In an epoch every identity's images are shuffled and cut into chunks of K, the rest is dropped; an identity with
    fewer than K images is drawn with replacement up to K. Then P random identities with remaining chunks give one chunk
    each, until fewer than P are left. The order depends on (seed, epoch) only: call `set_epoch` before each.
    """

    def __init__(
        self, labels: Sequence[int], identities: int, images: int, seed: int = 0, world: World | None = None
    ) -> None:
        """Group the samples; `labels`: identity of each, `identities`: P, at least 2, `images`: K, at least 1.

        In a `world` of several processes each gets its P / size identities of every batch.

        Raises:
            InputError: P or K too small, fewer than P identities, or P not divisible among the processes.
        """
        if identities < 2 or images < 1:
            raise InputError(
                f"A batch of {identities} identities with {images} images each cannot be mined for triplets; "
                "take at least 2 identities and 1 image."
            )
        values = np.asarray(labels, dtype=np.int64)
        self._groups = [np.flatnonzero(values == label) for label in np.unique(values)]
        if len(self._groups) < identities:
            raise InputError(
                f"The training set has {len(self._groups)} identities, a batch needs {identities}. "
                "Lower identities_per_batch or use a larger training set."
            )
        self._world = world or World()
        if identities % self._world.size:
            raise InputError(
                f"A batch of {identities} identities cannot be shared by {self._world.size} processes; take a multiple "
                "(solver.identities_per_batch)."
            )
        self.identities, self.images, self.seed, self.epoch, self._skipped = identities, images, seed, 0, 0
        short = sum(len(group) < images for group in self._groups)
        if short:
            logger.warning(
                "%d of %d identities have fewer than %d images; theirs are drawn with replacement.",
                short,
                len(self._groups),
                images,
            )

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Choose the epoch of the next iteration, without its first `skip` batches."""
        self.epoch, self._skipped = epoch, skip

    def __len__(self) -> int:
        """Return the exact number of batches in the current epoch, skipped ones included; it varies between epochs."""
        return len(self._batches())

    def __iter__(self) -> Iterator[list[Draw]]:
        seen: dict[int, int] = {}
        for number, batch in enumerate(self._batches()):
            draws = []
            for index in batch:
                draws.append(Draw(index, seen.get(index, 0)))
                seen[index] = seen.get(index, 0) + 1
            if number >= self._skipped:
                yield draws[self._world.share(len(draws))]

    def _batches(self) -> list[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        chunks = [self._chunks(group, random) for group in self._groups]
        batches: list[list[int]] = []
        while True:
            available = [number for number, left in enumerate(chunks) if left]
            if len(available) < self.identities:
                return batches
            chosen = random.choice(available, self.identities, replace=False)
            batches.append([index for number in chosen for index in chunks[number].pop()])

    def _chunks(self, group: np.ndarray, random: np.random.Generator) -> list[list[int]]:
        if len(group) < self.images:
            return [random.choice(group, self.images).tolist()]
        order = random.permutation(group).tolist()
        return [order[start : start + self.images] for start in range(0, len(order) - self.images + 1, self.images)]
