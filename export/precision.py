"""Which part of the exported graph computes in which type."""

from __future__ import annotations

from torch import nn

from ..errors import InputError
from ..train.models.aggregation import Reduction
from ..train.models.layers import LayerNorm

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


def precision_map(precision: str) -> dict[str, str]:
    """Part of the graph -> type, for the metadata and the printed plan.

    Raises:
        InputError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}; there are {', '.join(PRECISIONS)}.")
    return {"matmul_and_convolution": precision, **dict.fromkeys(FP32_ISLANDS, "fp32")}


def halve(module: nn.Module) -> None:
    """Turn parameters and buffers into float16, in place, but for LayerNorm, reduction and the scan's constants.

    A module says what else stays float32 by listing the tensors' names in an attribute `float32`.
    """
    if isinstance(module, (LayerNorm, Reduction)):
        return
    keep = getattr(module, "float32", ())
    for name, parameter in list(module.named_parameters(recurse=False)):
        if name not in keep:
            # a new tensor: the old one may still be the trained model's
            setattr(module, name, nn.Parameter(parameter.detach().half(), requires_grad=False))
    for name, buffer in list(module.named_buffers(recurse=False)):
        if name not in keep and buffer.is_floating_point():
            setattr(module, name, buffer.half())
    for child in module.children():
        halve(child)
