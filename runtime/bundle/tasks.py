"""Registry of tasks and the outputs of their models."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.task_names import ATTRIBUTES as ATTRIBUTES
from ..data.task_names import RE_IDENTIFICATION as RE_IDENTIFICATION
from .tensors import EMBEDDING, LOGITS


@dataclass(frozen=True)
class Task:
    """Task of a model.

    Attributes:
        name: in metadata.json.
        output: role of the output that artifacts are compared by; a model returns exactly one.
        accuracy: the metric that the accuracy gate compares, see `evaluation.gates.task_metrics`.
        opened_by: class that runs such a model.
        command: of `mambapro` that does so.
    """

    name: str
    output: str
    accuracy: str
    opened_by: str
    command: str


TASKS = {
    task.name: task
    for task in (
        Task(RE_IDENTIFICATION, EMBEDDING, "mAP", "Extractor", "extract"),
        Task(ATTRIBUTES, LOGITS, "mA", "AttributeRecognizer", "attributes"),
    )
}
