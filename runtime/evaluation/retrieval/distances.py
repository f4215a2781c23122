"""Distances between features, the basis of every ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....errors import InputError

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]


def normalised(features: npt.ArrayLike) -> Floats:
    """Divide rows by their Euclidean length; a row of zeros stays zero. Returns float64 (N, dim)."""
    rows = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def unit_distances(query: Floats, gallery: Floats) -> Floats:
    """Compute squared Euclidean distances of normalized rows. Returns float64 (queries, gallery)."""
    lengths = (query**2).sum(axis=1)[:, None] + (gallery**2).sum(axis=1)[None, :]
    return np.maximum(lengths - 2.0 * (query @ gallery.T), 0.0)


def checked_features(query: npt.ArrayLike, gallery: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Validate both feature arrays.

    Returns:
        both as arrays (N, dim).

    Raises:
        InputError: another shape, different dim, NaN or infinity; the message counts the rows.
    """
    arrays = np.asarray(query), np.asarray(gallery)
    for name, array in zip(("query", "gallery"), arrays, strict=True):
        if array.ndim != 2 or array.size == 0:
            raise InputError(
                f"The {name} features have shape {array.shape}; expected (images, dim), neither of them 0."
            )
        bad = int((~np.isfinite(array).all(axis=1)).sum())
        if bad:
            raise InputError(
                f"{bad} of {len(array)} {name} features hold NaN or infinity, so they cannot be ranked. "
                "Look at the model that made them, and at its precision."
            )
    if arrays[0].shape[1] != arrays[1].shape[1]:
        raise InputError(
            f"Query features have {arrays[0].shape[1]} values and gallery features {arrays[1].shape[1]}. "
            "Only features of one model can be compared."
        )
    return arrays
