"""Training tasks: data, losses and validation behind one interface for the engine."""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...common.progress import Track
from ...errors import InputError
from ..models.model_spec import Model
from .distributed import World
from .recipe import Recipe
from .training_config import TrainConfig

#: Task by name: the class, or the module of this package and the class in it, imported when a data set is looked up.
TASKS: dict[str, type[Task] | tuple[str, str]] = {
    "re-identification": ("train.reid.reid_task", "ReidTask"),
    "attributes": ("train.attributes.attribute_task", "AttributeTask"),
}


class StepLosses(NamedTuple):
    """Losses of a batch, scalars: the sum to differentiate, the number of correct answers, and the parts by name."""

    total: Tensor
    right: Tensor
    parts: dict[str, Tensor]


class Task(ABC):
    """Data, losses and validation of one training.

    Attributes:
        recipe: class of its recipes.
        metric: name of the validation metric that selects the best epoch, higher is better.
        dataset: name of the data set.
        fingerprint: of the data, which must be the same when a training is resumed.
        validates: whether there is something to validate on.
    """

    recipe: ClassVar[type[Recipe]] = TrainConfig
    metric: str = "mAP"
    dataset: str
    fingerprint: str
    validates: bool

    @classmethod
    @abstractmethod
    def knows(cls, dataset: str) -> bool:
        """Return True if a data set of this name belongs to this task."""

    @classmethod
    @abstractmethod
    def read(cls, config: Any, root: str | os.PathLike[str], dataset: str) -> Task:
        """Read the data set in a folder.

        Raises:
            InputError: it is another data set, or the recipe does not fit it.
        """

    @abstractmethod
    def build_model(self) -> Model:
        """Build a new model for recipe and data; random numbers are drawn from the global generator."""

    def require_memory(self, model: Model, processes: int) -> None:  # noqa: B027 - nothing to require is a choice
        """Raise SetupError if a training on the CPU does not fit into memory."""

    @abstractmethod
    def prepare(self, model: Model, device: torch.device, world: World, track: Track) -> Iterable[Any]:
        """Return the loader of the batches, which are named tuples of tensors.

        Raises:
            InputError: the model does not fit the data.
        """

    @abstractmethod
    def set_epoch(self, epoch: int, skip: int) -> None:
        """Choose the next epoch of the loader, without its first `skip` batches."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in the epoch, skipped ones included."""

    @abstractmethod
    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the network's inputs from a batch: tensors (B, ...) in the order of the network's arguments."""

    @abstractmethod
    def losses(self, outputs: Any, batch: Any, gather: Callable[[Tensor], Tensor]) -> StepLosses:
        """Compute the losses of the network's outputs; `gather` concatenates a tensor over all processes."""

    @abstractmethod
    def validate(self, model: Model, track: Track) -> dict[str, float]:
        """Evaluate a model. Returns metrics by name, `metric` among them, 0 to 1."""

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Numbers of samples and other counts for the report."""

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values about the data that every checkpoint holds."""
        return {}

    @property
    def baseline(self) -> dict[str, float]:
        """Metrics of a guess without the image on the validation data, by name; empty without one."""
        return {}

    def __str__(self) -> str:
        return f"{self.counts['samples']} samples"


def task_for(dataset: str) -> type[Task]:
    """Return the task of a data set.

    Raises:
        InputError: no task has this data set.
    """
    # what was registered last goes first: it may serve a data set of another task
    for name, entry in reversed(TASKS.items()):
        if isinstance(entry, tuple):
            package = __package__.split(".")[0]
            entry = TASKS[name] = getattr(importlib.import_module(f"{package}.{entry[0]}"), entry[1])
        if entry.knows(dataset):
            return entry
    raise InputError(f"No task trains on the data set {dataset!r}; there are {', '.join(TASKS)}.")
