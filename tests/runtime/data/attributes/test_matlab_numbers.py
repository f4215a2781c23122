"""Numbers of MATLAB files: empty lists of any shape, and numbers that no whole number holds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from mambapro.errors import InputError
from mambapro.runtime.data.attributes.matlab_files import rows_of, whole_numbers


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (0, 1), (0,)])
def test_empty_lists(shape: tuple[int, ...]) -> None:
    """A partition without images is a list of no rows, as MATLAB writes it."""
    assert rows_of(np.zeros(shape), "x.mat").tolist() == []


def test_matrices_are_no_lists() -> None:
    """InputError with the shape."""
    with pytest.raises(InputError, match="a matrix of 2 x 2; a list is expected"):
        rows_of(np.ones((2, 2)), "x.mat")


@pytest.mark.parametrize("value", [1e300, -1e300, np.inf, np.float32(3e38), np.uint64(2**63)])
def test_numbers_beyond_64_bits(value: np.number) -> None:
    """InputError before they are converted, without a warning of NumPy."""
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"x\.mat holds numbers of more than 63 bits"):
        warnings.simplefilter("error")
        whole_numbers(np.array([[1, value]], np.asarray(value).dtype), "x.mat")
