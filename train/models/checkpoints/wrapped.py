"""Search for a model's state dict inside the dictionaries, key prefixes and averages that trainers add."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ....common.foreign_text import shown_text
from ....errors import ArtifactError, InputError
from ....runtime.data.readers.listing import shown
from .plain_pickle import OddTensor
from .tensor_files import only_tensors

log = logging.getLogger("mambapro")

#: Parts of keys that a wrapper of PyTorch adds anywhere: several GPUs, torch.compile, sharding, checkpointing.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
#: Keys that averaging (torch.optim.swa_utils) adds to a state dict.
_COUNTERS = frozenset({"n_averaged"})
_DEEPEST = 4
#: Parts that begin a key of the model itself: the authors' names, and ours.
Anchors = tuple[tuple[str, ...], ...]
MODEL: Anchors = (("BACKBONE",), ("backbone", "embedding"), ("backbone", "layers"))


@dataclass(frozen=True)
class StateDict:
    """State dict of a file with the model's own keys; `notes` lists the removed wrappers."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def unwrap(tree: Any, path: Path, anchors: Anchors = MODEL, chosen: str | None = None) -> StateDict:
    """Return the state dict in a file's content.

    Args:
        tree: from `read_content`.
        path: the file, for messages.
        anchors: first parts of the model's keys, split at dots.
        chosen: name of one of several state dicts, such as "ema" or "state_dict.student".

    Raises:
        ArtifactError: there is none, or there are several and none is chosen; the message names them.
        InputError: there is none of this name.
    """
    state_dicts: dict[str, StateDict] = {}
    for outer, tensors in _places(tree, ""):
        state_dicts.update(_split(outer, tensors, anchors, path))
    state_dicts = _distinct(state_dicts)
    if chosen is not None and chosen not in state_dicts:
        there = shown([shown_text(name or "(the file itself)", 60) for name in state_dicts]) or "none"
        raise InputError(f"{shown_text(path)} has no weights called {shown_text(chosen, 60)!r}; there are: {there}.")
    if not state_dicts:
        # no key of the model anywhere: an error about the whole file helps more than one about its parts
        return _bare(tree, path)
    if chosen is None and len(state_dicts) > 1:
        names = shown([shown_text(name or "(the file itself)", 60) for name in state_dicts])
        raise ArtifactError(
            f"{shown_text(path)} holds {len(state_dicts)} sets of weights: {names}. Say which one: --weights NAME, or "
            "load_checkpoint(path, weights=NAME); averages of the weights (ema) are usually the better ones."
        )
    name = next(iter(state_dicts)) if chosen is None else chosen
    state = state_dicts[name]
    only_tensors(dict(state.tensors), path)
    notes = (f"the weights under {shown_text(name, 60)!r} were taken", *state.notes) if name else state.notes
    if name and isinstance(tree, dict) and (beside := [key for key in tree if _first(name) != str(key)]):
        notes = (*notes, f"left out: {shown([shown_text(key, 40) for key in beside])}")
    return StateDict(state.tensors, notes)


def keys_in(tree: Any) -> Iterable[str]:
    """Yield the keys of all tensors in a file's content, with their wrappers."""
    for _, tensors in _places(tree, ""):
        yield from tensors


def log_notes(state_dict: StateDict, path: Path) -> None:
    """Log the removed wrappers."""
    for note in state_dict.notes:
        log.warning("%s: %s", shown_text(path.name), note)


def _first(name: str) -> str:
    return name.split(".", 1)[0]


def _bare(tree: Any, path: Path) -> StateDict:
    place: list[str] = []
    while isinstance(tree, dict) and len(tree) == 1 and isinstance(inner := next(iter(tree.values())), dict):
        place.append(str(next(iter(tree))))
        tree = inner
    notes = (f"the weights under {shown_text('.'.join(place), 60)!r} were taken",) if place else ()
    return StateDict(only_tensors(tree, path), notes)


def _places(value: Any, place: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield every dictionary of named tensors, with the names that lead to it."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return
    if any(isinstance(entry, Tensor | OddTensor) for entry in value.values()):
        # numbers and similar entries among the tensors are no weights
        yield place, {key: entry for key, entry in value.items() if isinstance(entry, Tensor | OddTensor)}
    if place.count(".") < _DEEPEST:
        for key, entry in value.items():
            if isinstance(entry, dict):
                yield from _places(entry, f"{place}.{key}" if place else key)


def _split(place: str, tensors: dict[str, Any], anchors: Anchors, path: Path) -> dict[str, StateDict]:
    """Return the state dicts in one dictionary, by place and prefix: `model.BACKBONE` and `ema.BACKBONE` are two."""
    plain: dict[str, Any] = {}
    for key, value in tensors.items():
        name = ".".join(part for part in key.split(".") if part not in WRAPPERS)
        if name in plain:
            raise ArtifactError(
                f"{shown_text(path)} holds the same key with and without 'module.' in front, or another wrapper's "
                f"name: {shown_text(name, 80)}. Save it again."
            )
        plain[name] = value
    removed = sorted({part for key in tensors for part in key.split(".") if part in WRAPPERS})
    prefixes = sorted({prefix for key in plain if (prefix := _prefix(key.split("."), anchors)) is not None}, key=len)
    state_dicts: dict[str, StateDict] = {}
    for prefix in prefixes:
        others = [other for other in prefixes if len(other) > len(prefix)]
        entries = {
            key[len(prefix) :]: value
            for key, value in plain.items()
            if key.startswith(prefix) and not any(key.startswith(other) for other in others) and key not in _COUNTERS
        }
        notes = [f"{', '.join(removed)} in the names of keys was left out"] if removed else []
        if prefix:
            notes.append(f"{shown_text(prefix, 60)!r} in front of the keys was left out")
        rest = [key for key in plain if not any(key.startswith(each) for each in prefixes) or key in _COUNTERS]
        if rest:
            notes.append(f"keys that are not the model's were left out: {shown([shown_text(k, 60) for k in rest])}")
        name = ".".join(part for part in (place, prefix.rstrip(".")) if part)
        state_dicts[name] = StateDict(entries, tuple(notes))
    if len(state_dicts) == 1 and prefixes[0]:
        # the prefix of a single model needs no name
        return {place: next(iter(state_dicts.values()))}
    return state_dicts


def _prefix(parts: list[str], anchors: Anchors) -> str | None:
    """Return the prefix before the model's own key, None for a foreign key."""
    for start in range(len(parts)):
        if any(tuple(parts[start : start + len(anchor)]) == anchor for anchor in anchors):
            return "".join(f"{part}." for part in parts[:start])
    return None


def _distinct(state_dicts: dict[str, StateDict]) -> dict[str, StateDict]:
    """Remove state dicts with the same tensors under a second name."""
    distinct: dict[str, StateDict] = {}
    for name, state in state_dicts.items():
        if not any(_same(state.tensors, other.tensors) for other in distinct.values()):
            distinct[name] = state
    return distinct


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        isinstance(a[key], Tensor) and isinstance(b[key], Tensor) and _place_of(a[key]) == _place_of(b[key])
        for key in a
    )


def _place_of(value: Tensor) -> tuple[int, tuple[int, ...]]:
    return value.data_ptr(), tuple(value.shape)
