"""What a drawn sample's pixels depend on."""

from __future__ import annotations

import numpy as np
from mambapro.synthetic.observation import draw_sample


def test_every_argument_draws_another_sample() -> None:
    """Another seed, identity, camera or view gives other pixels; the same ones the same."""
    first = (1, 2, 0, 0)
    drawn = {
        key: np.concatenate(draw_sample("rgbnt201", *key, (32, 16)))
        for key in (first, (2, 2, 0, 0), (1, 3, 0, 0), (1, 2, 1, 0), (1, 2, 0, 1))
    }

    assert np.array_equal(drawn[first], np.concatenate(draw_sample("rgbnt201", *first, (32, 16))))
    others = [value for key, value in drawn.items() if key != first]
    assert not any(np.array_equal(drawn[first], value) for value in others)
