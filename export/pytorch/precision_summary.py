"""Summary of the precision of each graph part, for metadata and the printed plan."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import InputError

PRECISIONS = ("fp32", "fp16")


def precision_map(precision: str, float32_parts: Iterable[str]) -> dict[str, str]:
    """Return part of the graph -> type, for the metadata and the printed plan.

    Args:
        precision: "fp32" or "fp16".
        float32_parts: parts of the model's spec, and modules whose values approach the float16 overflow limit.

    Raises:
        InputError: unknown precision.
    """
    require_precision(precision)
    return {"matmul_and_convolution": precision, **dict.fromkeys(float32_parts, "fp32")}


def require_precision(precision: str) -> None:
    """Raise InputError for a precision that no model is exported in."""
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}; there are {', '.join(PRECISIONS)}.")
