"""Which part of the exported graph computes in which type, as it is told to people."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import InputError

PRECISIONS = ("fp32", "fp16")

#: Parts that stay in float32 when the rest is float16, and why; keys go into the bundle's metadata.
FP32_ISLANDS = {
    "normalisation": "pixels become numbers around zero before they are rounded",
    "layer_norm": "squares overflow float16",
    "softmax": "exponentials overflow float16",
    "softplus": "the step size spans many orders of magnitude",
    "scan_state": "hundreds of steps add up",
    "reduction": "the mean over tokens and the last product make the feature",
}


def precision_map(precision: str, widened: Iterable[str] = ()) -> dict[str, str]:
    """Part of the graph -> type, for the metadata and the printed plan.

    Args:
        precision: "fp32" or "fp16".
        widened: modules that stay float32 because their values come near the end of float16.

    Raises:
        InputError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}; there are {', '.join(PRECISIONS)}.")
    return {"matmul_and_convolution": precision, **dict.fromkeys((*FP32_ISLANDS, *widened), "fp32")}
