"""Which profile of an engine a batch goes to."""

from __future__ import annotations

import pytest
from mambapro.runtime.backends.tensorrt.buffers import BatchRange, range_for

#: Number, smallest, usual and largest batch.
RANGES = (BatchRange(0, 1, 1, 32), BatchRange(1, 1, 16, 32), BatchRange(2, 16, 30, 64))


@pytest.mark.parametrize(
    ("batch", "number"), [(1, 0), (8, 0), (9, 1), (16, 1), (24, 2), (32, 2), (33, 2), (64, 2), (65, None), (0, None)]
)
def test_the_nearest_profile_that_fits(batch: int, number: int | None) -> None:
    """Of those that take the batch, ends included, the one that was made for the nearest; none where none does."""
    found = range_for(RANGES, batch)

    assert (None if found is None else found.index) == number
