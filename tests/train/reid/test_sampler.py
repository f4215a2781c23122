"""The P x K sampler."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from mambapro.errors import InputError
from mambapro.train.reid.sampler import Draw, IdentitySampler

# Identities with 9, 4, 8, 2, 5 images.
COUNTS = (9, 4, 8, 2, 5)
LABELS = [label for label, count in enumerate(COUNTS) for _ in range(count)]


def epoch_of(sampler: IdentitySampler, epoch: int) -> list[list[Draw]]:
    sampler.set_epoch(epoch)
    return list(sampler)


class TestBatches:
    def test_composition(self) -> None:
        """Every batch has P different identities with K images each."""
        for batch in epoch_of(IdentitySampler(LABELS, 2, 4, seed=3), 1):
            assert sorted(Counter(LABELS[draw.sample] for draw in batch).values()) == [4, 4]

    def test_no_image_twice(self) -> None:
        """Images of an identity with at least K are drawn at most once per epoch, others have a repeat number."""
        draws = [draw for batch in epoch_of(IdentitySampler(LABELS, 2, 4), 1) for draw in batch]

        assert len(set(draws)) == len(draws)
        assert all(draw.repeat == 0 for draw in draws if COUNTS[LABELS[draw.sample]] >= 4)

    def test_rest_dropped(self) -> None:
        """An identity gives floor(images / K) chunks, and batches stop when fewer than P identities have one left."""
        for epoch in range(20):
            batches = epoch_of(IdentitySampler(LABELS, 2, 4), epoch)
            chunks = Counter(LABELS[draw.sample] for batch in batches for draw in batch)

            # Chunks there are: 2, 1, 2, 1, 1.
            assert all(chunks[label] <= 4 * limit for label, limit in enumerate((2, 1, 2, 1, 1)))
            left = sum(chunks[label] < 4 * limit for label, limit in enumerate((2, 1, 2, 1, 1)))
            assert left < 2

    def test_few_images(self, caplog: pytest.LogCaptureFixture) -> None:
        """An identity with fewer than K images is drawn with replacement, and a warning counts such identities."""
        with caplog.at_level(logging.WARNING, logger="mambapro"):
            sampler = IdentitySampler([0, 0, 1, 1, 1, 1], 2, 4)
        (batch,) = epoch_of(sampler, 0)

        assert "1 of 2 identities have fewer than 4 images" in caplog.text
        small = [draw for draw in batch if draw.sample < 2]
        assert len(small) == 4
        assert len(set(small)) == 4

    def test_length(self) -> None:
        """The length is the exact number of batches of the current epoch."""
        sampler = IdentitySampler(LABELS, 2, 4)
        for epoch in range(20):
            assert len(epoch_of(sampler, epoch)) == len(sampler)


class TestSeed:
    def test_same(self) -> None:
        """Seed and epoch decide the order, not what was drawn before."""
        used = IdentitySampler(LABELS, 2, 4, seed=5)
        epoch_of(used, 1)

        assert epoch_of(used, 7) == epoch_of(IdentitySampler(LABELS, 2, 4, seed=5), 7)

    def test_epochs_and_seeds_differ(self) -> None:
        """Another epoch or seed gives another order."""
        first = epoch_of(IdentitySampler(LABELS, 2, 4, seed=5), 1)

        assert first != epoch_of(IdentitySampler(LABELS, 2, 4, seed=5), 2)
        assert first != epoch_of(IdentitySampler(LABELS, 2, 4, seed=6), 1)


class TestErrors:
    def test_too_few_identities(self) -> None:
        """Fewer identities than P raises InputError with both numbers."""
        with pytest.raises(InputError, match="has 5 identities, a batch needs 6"):
            IdentitySampler(LABELS, 6, 4)

    @pytest.mark.parametrize(("identities", "images"), [(1, 4), (2, 0)])
    def test_no_triplets(self, identities: int, images: int) -> None:
        """One identity or no image per batch raises InputError."""
        with pytest.raises(InputError, match="triplets"):
            IdentitySampler(LABELS, identities, images)
