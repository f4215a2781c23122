"""How many values each part of a model has, and how many of them a training moves."""

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
#: What the paper's figures of trainable parameters count.
COUNTED = ("backbone", "adapter", "prompt", "aggregation")


def empty_model(config: MambaProConfig) -> MambaPro:
    """A model in eval mode whose tensors have shapes but no memory, so that a large one takes no time."""
    with torch.device("meta"):
        return MambaPro(config).eval()


def part_of(name: str) -> str:
    """The part (of PARTS) that a parameter belongs to.

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
    """How many values each part has, whether it runs or not; buffers are not counted."""
    counts = Counter(dict.fromkeys(PARTS, 0))
    for name, parameter in model.named_parameters():
        counts[part_of(name)] += parameter.numel()
    return dict(counts)


def trained_values(model: MambaPro, frozen: bool = True) -> dict[str, int]:
    """How many values of each part a training moves; a part that is switched off has none.

    Counted as built: the residual transfer of the first layer's prompts is among them although nothing reaches it.
    """
    counts = Counter(dict.fromkeys(PARTS, 0))
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if _runs(name, part, model.config) and parameter.requires_grad and not (frozen and part == "backbone"):
            counts[part] += parameter.numel()
    return dict(counts)


def _runs(name: str, part: str, config: MambaProConfig) -> bool:
    """Whether the config switches this parameter's part on."""
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
