"""Labels of drawn persons: each annotated attribute is a condition on traits, from label_lists.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...common.formats.toml_files import parse_toml
from .figure import Traits

#: Alternatives; in each of them every slot has one of its values.
Condition = tuple[Mapping[str, frozenset[str]], ...]


@lru_cache(maxsize=1)
def label_lists() -> dict[str, dict[str, Condition]]:
    """Return the condition of every attribute by list and name, in the order of the annotation files."""
    text = Path(__file__).with_name("label_lists.toml").read_text(encoding="utf-8")
    return {
        listed: {name: _condition(rule) for name, rule in rules.items()} for listed, rules in parse_toml(text).items()
    }


def _condition(rule: str) -> Condition:
    if not rule:
        return ()
    return tuple(
        {slot: frozenset(values.split("|")) for slot, values in (part.split("=") for part in clause.split())}
        for clause in rule.split(" or ")
    )


def true_labels(listed: str, persons: Sequence[Traits]) -> npt.NDArray[np.uint8]:
    """Return what holds of persons.

    Args:
        listed: name of the list of attributes.
        persons: their traits.

    Returns:
        uint8 (persons, attributes) of 0 and 1.
    """
    columns = {slot: np.array([person[slot] for person in persons]) for slot in persons[0]}
    labels = np.zeros((len(persons), len(label_lists()[listed])), np.uint8)
    for index, condition in enumerate(label_lists()[listed].values()):
        for clause in condition:
            holds = [np.isin(columns[slot], sorted(values)) for slot, values in clause.items()]
            labels[:, index] |= np.logical_and.reduce(holds)
    return labels
