"""Folding: replacement of trained modules by equivalent ones with precomputed constants for inference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)

#: Type of a trained module to the factory of its replacement, which has the same interface.
Rules = Mapping[type[nn.Module], Callable[..., nn.Module]]


def fold(module: nn.Module, rules: Rules) -> None:
    """Replace trained modules inside `module` by folded ones, innermost first, in place."""
    for name, child in list(module.named_children()):
        fold(child, rules)
        if folded := rules.get(type(child)):
            setattr(module, name, folded(child))


def copy_for_folding(module: M) -> M:
    """Copy a module for folding in place; tensors are shared and never written to."""
    memo = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)
