"""Folding: modules that stand in for trained ones at inference, where much is constant."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)

#: Type of a trained module to what makes its stand-in, which has its interface.
Rules = Mapping[type[nn.Module], Callable[..., nn.Module]]


def fold(module: nn.Module, rules: Rules) -> None:
    """Put the folded modules in the place of the trained ones inside `module`, innermost first, in place."""
    for name, child in list(module.named_children()):
        fold(child, rules)
        if folded := rules.get(type(child)):
            setattr(module, name, folded(child))


def copy_for_folding(module: M) -> M:
    """Copy a module so that it may be folded in place; tensors stay shared, they are never written to."""
    memo = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)
