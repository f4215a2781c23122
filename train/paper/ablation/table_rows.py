"""Row and table types of the paper's ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from ....errors import InputError

#: Scope of a table's columns of parameters and operations: all that is trained, or one part of the model.
Scope = Literal["trained", "prompt", "adapter", "aggregation"]


@dataclass(frozen=True)
class Figures:
    """Figures of a row as printed in the paper; None where it prints nothing.

    `map` and the ranks are percent, `params` millions of values, `gflops` 10^9 operations, `memory` gigabytes on one
    A100 in training.
    """

    map: float | None = None
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None
    params: float | None = None
    gflops: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Row:
    """One row: `fields` are those of MambaProConfig that it sets; `frozen` freezes the pretrained backbone.

    A row that is not `trained` is measured as pretrained. `backbone` names the pretraining: CLIP's, or that of a ViT on
    ImageNet.
    """

    key: str
    title: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    paper: Figures = Figures()
    frozen: bool = True
    trained: bool = True
    backbone: Literal["clip", "vit"] = "clip"


@dataclass(frozen=True)
class Table:
    """Table or figure of the paper; `dataset` is that of its accuracy."""

    key: str
    title: str
    dataset: str
    rows: tuple[Row, ...]
    scope: Scope | None = None

    def pick(self, keys: Sequence[str]) -> tuple[Row, ...]:
        """Return the rows of these keys in the table's order, all of them for no key; case does not matter.

        Raises:
            InputError: a key the table does not have.
        """
        known = {row.key.lower(): row.key for row in self.rows}
        for key in keys:
            if key.lower() not in known:
                near = get_close_matches(key.lower(), known, n=1)
                hint = f" Did you mean {known[near[0]]}?" if near else ""
                raise InputError(f"{self.title} has no row {key!r}; it has {', '.join(known.values())}.{hint}")
        wanted = {key.lower() for key in keys} or set(known)
        return tuple(row for row in self.rows if row.key.lower() in wanted)
