"""Layers measured together: each alone, a block of the network, or a kind of layer in all blocks."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import InputError
from ...runtime.data.modalities import MODALITIES

LAYER, BLOCK, KIND = "layer", "block", "kind"
GROUPS = (LAYER, BLOCK, KIND)


def grouped(modules: Iterable[str], how: str) -> dict[str, tuple[str, ...]]:
    """Return modules by the name of their group, in the order given; a group's name is a pattern that a policy takes.

    "layer": every module by itself. "block": such as `backbone.layers.3`. "kind": such as
    `backbone.layers.*.mlp.inner`, and `aggregation.blocks.*.intra.in_proj.*` for all sensors.

    Raises:
        InputError: an unknown way.
    """
    if how not in GROUPS:
        raise InputError(f"The layers are grouped by one of {', '.join(GROUPS)}, not by {how!r}.")
    found: dict[str, list[str]] = {}
    for name in modules:
        found.setdefault(group_of(name, how), []).append(name)
    return {group: tuple(names) for group, names in found.items()}


def group_of(module: str, how: str) -> str:
    """Return the name of the group that a module belongs to."""
    parts = module.split(".")
    if how == BLOCK:
        numbers = [i for i, part in enumerate(parts) if part.isdigit()]
        # what hangs right under a root is a block by itself: the root's name would match all the others too
        return ".".join(parts[: numbers[0] + 1] if numbers else parts[: max(2, len(parts) - 1)])
    if how == KIND:
        return ".".join("*" if part.isdigit() or part in MODALITIES else part for part in parts)
    return module
