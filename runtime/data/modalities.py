"""The three sensors, in the one order that every array of the project uses."""

from __future__ import annotations

RGB, NIR, TIR = "rgb", "nir", "tir"
MODALITIES = (RGB, NIR, TIR)

#: The seven non-empty sets of present sensors, the complete one first.
SUBSETS: tuple[tuple[str, ...], ...] = (
    (RGB, NIR, TIR),
    (RGB, NIR),
    (RGB, TIR),
    (NIR, TIR),
    (RGB,),
    (NIR,),
    (TIR,),
)


def subset_name(subset: tuple[str, ...]) -> str:
    """`("rgb", "tir")` -> `"rgb+tir"`."""
    return "+".join(subset)
