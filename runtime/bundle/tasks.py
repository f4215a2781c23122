"""Registry of tasks: which outputs a model for a task returns."""

from __future__ import annotations

from dataclasses import dataclass

from .tensors import EMBEDDING, LOGITS

RE_IDENTIFICATION, ATTRIBUTES = "re-identification", "attributes"


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: in metadata.json.
        output: role of the output that artifacts are compared by; a model returns exactly one.
        accuracy: the metric that the accuracy gate compares, see `evaluation.gates.metrics`.
    """

    name: str
    output: str
    accuracy: str


TASKS = {task.name: task for task in (Task(RE_IDENTIFICATION, EMBEDDING, "mAP"), Task(ATTRIBUTES, LOGITS, "mA"))}
