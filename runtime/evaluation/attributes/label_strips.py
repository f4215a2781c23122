"""Images that a model decides most surely, right and wrong, for each label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....common.progress import Track, silent
from ....common.records import Report
from ...bundle.labels import Labels
from ...data.preprocess import Preprocessing
from ...data.sample import Sample
from ..retrieval.strip_folder import Drawing, write_drawings
from .label_strip_picture import draw_label_strip


@dataclass(frozen=True)
class Decision(Report):
    """Decision on one sample: `probability` (None where the model returns none), the true label, the assigned one."""

    sample: Sample
    probability: float | None
    truth: bool
    assigned: bool

    @property
    def right(self) -> bool:
        """True if the label was assigned to a sample that has it, or not assigned to one that has it not."""
        return self.truth == self.assigned

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the sample by name."""
        values = {"probability": self.probability, "truth": self.truth, "assigned": self.assigned}
        return {"name": self.sample.name, **values}


@dataclass(frozen=True)
class LabelStrip(Report):
    """Label, numbers of its samples, and the surest right and wrong decisions.

    `positives` of the judged samples have the label, `found` of these are assigned it; `negatives` have it not, `false`
    of these are assigned it.
    """

    label: str
    positives: int
    found: int
    negatives: int
    false: int
    right: tuple[Decision, ...]
    wrong: tuple[Decision, ...]

    @property
    def caption(self) -> str:
        """Numbers in words."""
        return (
            f"{self.found} of {self.positives} that have it found, {self.false} of {self.negatives} others assigned it"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        counts = {name: getattr(self, name) for name in ("label", "positives", "found", "negatives", "false")}
        return {
            **counts,
            "right": [one.to_json() for one in self.right],
            "wrong": [one.to_json() for one in self.wrong],
        }


def label_strips(
    samples: Sequence[Sample], truth: np.ndarray, logits: np.ndarray, labels: Labels, count: int
) -> list[LabelStrip]:
    """Choose the surest decisions of each label, those farthest from the threshold in logits.

    Of the right ones those of samples that have the label come first: that most samples have none of a rare label is
    easily right.

    Args:
        samples: N samples.
        truth: whole numbers (N, labels), 1 = the sample has the label, 0 = it has not; others are not shown.
        logits: (N, labels).
        labels: of the logits.
        count: most right and most wrong decisions of a label.
    """
    assigned, probabilities = labels.assign(logits), labels.probabilities(logits)
    surety = np.abs(np.asarray(logits, np.float64) - labels.limits)

    def decisions(rows: np.ndarray, column: int) -> tuple[Decision, ...]:
        """Return the decisions on some samples."""
        return tuple(
            Decision(
                samples[row],
                None if probabilities is None else float(probabilities[row, column]),
                bool(truth[row, column] == 1),
                bool(assigned[row, column]),
            )
            for row in rows[:count].tolist()
        )

    strips = []
    for column, name in enumerate(labels.names):
        has, lacks, given = truth[:, column] == 1, truth[:, column] == 0, assigned[:, column]
        order = np.argsort(-surety[:, column], kind="stable")
        found, spared, wrong = (
            order[mask[order]] for mask in (has & given, lacks & ~given, has & ~given | lacks & given)
        )
        right = decisions(np.concatenate([found, spared]), column)
        counts = (int(has.sum()), len(found), int(lacks.sum()), int((lacks & given).sum()))
        strips.append(LabelStrip(name, *counts, right, decisions(wrong, column)))
    return strips


def write_label_strips(
    folder: Path,
    strips: Sequence[LabelStrip],
    title: str,
    preprocessing: Preprocessing,
    overwrite: bool = False,
    track: Track = silent,
) -> tuple[Path, ...]:
    """Write one PNG for each label, see `write_drawings`; `title` is printed above each.

    Raises:
        InputError: `folder` exists and may not be replaced, or an image cannot be read.
        SetupError: no room or no permission.
    """
    size = max((len(decisions) for strip in strips for decisions in (strip.right, strip.wrong)), default=1)
    drawings = [
        Drawing(
            re.sub(r"\W+", "_", strip.label)[:60],
            partial(draw_label_strip, strip, title, preprocessing, max(size, 1)),
            strip.to_json(),
        )
        for strip in strips
    ]
    return write_drawings(folder, drawings, title, overwrite, track)
