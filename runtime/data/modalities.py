"""The three sensors, in the order of all arrays of the project."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

RGB, NIR, TIR = "rgb", "nir", "tir"
MODALITIES = (RGB, NIR, TIR)


def subsets_of(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return all non-empty sets of present modalities, the complete one first."""
    return tuple(subset for size in range(len(modalities), 0, -1) for subset in combinations(modalities, size))


#: The non-empty sets of present sensors, the complete one first.
SUBSETS = subsets_of(MODALITIES)


def subset_name(subset: tuple[str, ...]) -> str:
    """Join the modalities: `("rgb", "tir")` -> `"rgb+tir"`."""
    return "+".join(subset)
