"""Registry of the parts of a report that depend on the task: accuracy, its differences, pictures, templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ...common.progress import Track
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from ...runtime.data.sample import Benchmark
from ...runtime.evaluation.bootstrap import PairedDifference
from ...runtime.session import Session
from . import attribute_view, retrieval_view


@dataclass(frozen=True)
class TaskView:
    """Parts of a report for one task.

    Attributes:
        options: of the evaluation, from metadata, resamples, seed, folder for pictures and their number.
        evaluate: session, its name, benchmark, options, progress and whether it is the reference -> accuracy.
        differences: two accuracies, resamples and seed -> paired differences.
        value: accuracy -> the value that stands for all.
        interval: accuracy -> its interval as text, empty without.
        count: accuracy -> number of what was evaluated, such as "320 queries".
        returns: metadata -> what the model returns.
        picture: entry of the pictures' listing and a PNG -> picture with `png` and `text`.
        chosen: entries of the listing and their number -> those to show.
        pages: template by section, where it is not the section's own name.
        headings: of the sections "accuracy" and "strips", each short and long.
        same: heading for the fraction of equal answers.
        result: the end of a timed call.
    """

    options: Callable[[BundleMetadata, int, int, Path, int], Any]
    evaluate: Callable[[Session, str, Benchmark, Any, Track, bool], Any]
    differences: Callable[[Any, Any, int, int], Sequence[PairedDifference]]
    value: Callable[[Any], float]
    interval: Callable[[Any], str]
    count: Callable[[Any], str]
    returns: Callable[[BundleMetadata], str]
    picture: Callable[[Mapping[str, Any], bytes], Any]
    chosen: Callable[[Sequence[Mapping[str, Any]], int], Sequence[Mapping[str, Any]]]
    pages: Mapping[str, str]
    headings: Mapping[str, tuple[str, str]]
    same: str
    result: str


_PARTS = ("options", "evaluate", "differences", "value", "interval", "count", "returns", "picture", "chosen")


def _functions(module: ModuleType) -> dict[str, Any]:
    """Return the functions of a view that a module defines."""
    return {name: getattr(module, name) for name in _PARTS}


VIEWS = {
    RE_IDENTIFICATION: TaskView(
        **_functions(retrieval_view),
        pages={},
        headings={"accuracy": ("Accuracy", "Retrieval accuracy"), "strips": ("Retrievals", "Ranked retrievals")},
        same="same top 10",
        result="embedding of length 1",
    ),
    ATTRIBUTES: TaskView(
        **_functions(attribute_view),
        pages={"accuracy": "attributes.html", "strips": "labels.html"},
        headings={
            "accuracy": ("Accuracy", "Accuracy of the labels"),
            "strips": ("Right and wrong", "Right and wrong labels"),
        },
        same="same labels",
        result="logits",
    ),
}
