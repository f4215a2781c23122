"""Number of values of each part of a model, and of those that a training changes."""

from __future__ import annotations

from collections import Counter

import torch

from ....errors import InputError
from ...models.mambapro.mambapro import MambaPro
from ...models.mambapro.model_config import MambaProConfig
from ...models.mambapro.spec import is_pretrained

#: The parts in the order of the tables, with the paper's names.
PARTS = {
    "backbone": "pretrained backbone",
    "adapter": "adapters (PFA)",
    "prompt": "prompts (SRP)",
    "aggregation": "aggregation (MA)",
    "camera": "camera table (SIE)",
    "heads": "heads",
}
#: Parts that the paper's figures of trainable parameters cover.
COUNTED = ("backbone", "adapter", "prompt", "aggregation")


def empty_model(config: MambaProConfig) -> MambaPro:
    """Build a model in eval mode whose tensors have shapes but no memory."""
    with torch.device("meta"):
        return MambaPro(config).eval()


def part_of(name: str) -> str:
    """Return the part (of PARTS) that a parameter belongs to.

    Raises:
        InputError: a name that MambaPro does not have.
    """
    if is_pretrained(name):
        return "backbone"
    if name.startswith("aggregation."):
        return "aggregation"
    for part, mark in (("adapter", ".adapter."), ("prompt", ".prompt."), ("camera", ".cameras"), ("heads", "head.")):
        if mark in name:
            return part
    raise InputError(f"{name} is no parameter of MambaPro.")


def all_values(model: MambaPro) -> dict[str, int]:
    """Count the values of each part, whether it runs or not; buffers are not counted."""
    counts = Counter(dict.fromkeys(PARTS, 0))
    for name, parameter in model.named_parameters():
        counts[part_of(name)] += parameter.numel()
    return dict(counts)


def trained_values(model: MambaPro, frozen: bool = True) -> dict[str, int]:
    """Count the values of each part that a training changes; a part that is switched off has none.

    Counted as built: the residual transfer of the first layer's prompts is included although it is never used.
    """
    counts = Counter(dict.fromkeys(PARTS, 0))
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if _runs(name, part, model.config) and parameter.requires_grad and not (frozen and part == "backbone"):
            counts[part] += parameter.numel()
    return dict(counts)


def _runs(name: str, part: str, config: MambaProConfig) -> bool:
    """Return True if the config switches this parameter's part on."""
    if part == "heads":
        used = {
            "backbone.head.": not config.direct,
            "concat_head.": config.direct,
            "fused_head.": config.mamba,
        }
        return next(on for head, on in used.items() if name.startswith(head))
    switches = {
        "backbone": True,
        "adapter": config.adapter,
        "prompt": config.prompt,
        "aggregation": config.mamba,
        "camera": config.sie_camera,
    }
    return switches[part]
