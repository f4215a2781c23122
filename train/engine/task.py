"""Tasks of training: data, losses and validation, which the engine runs without knowing them."""

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
from .training_config import TrainConfig

#: Task by name: the class, or the module of this package and the class in it, imported when a data set is looked up.
TASKS: dict[str, type[Task] | tuple[str, str]] = {"re-identification": ("train.reid.reid_task", "ReidTask")}


class StepLosses(NamedTuple):
    """Losses of a batch: the sum that is differentiated, how many answers are right, and the parts by name; scalars."""

    total: Tensor
    right: Tensor
    parts: dict[str, Tensor]


class Task(ABC):
    """Data, losses and validation of one training.

    Attributes:
        metric: what the validation measures, higher is better.
        dataset: name of the data set.
        fingerprint: of the data, which a training that is resumed must see again.
        validates: whether there is something to validate on.
    """

    metric: ClassVar[str] = "mAP"
    dataset: str
    fingerprint: str
    validates: bool

    @classmethod
    @abstractmethod
    def knows(cls, dataset: str) -> bool:
        """Whether a data set of this name is of this task."""

    @classmethod
    @abstractmethod
    def read(cls, config: TrainConfig, root: str | os.PathLike[str], dataset: str) -> Task:
        """Read the data set in a folder.

        Raises:
            InputError: it is another, or the recipe does not fit it.
        """

    @abstractmethod
    def build_model(self) -> Model:
        """A new model as recipe and data want it; random numbers are drawn from the global generator."""

    def require_memory(self, model: Model, processes: int) -> None:  # noqa: B027 - nothing to require is a choice
        """Raise SetupError where a training on the CPU cannot fit into memory."""

    @abstractmethod
    def prepare(self, model: Model, device: torch.device, world: World, track: Track) -> Iterable[Any]:
        """The loader of the batches, which are named tuples of tensors.

        Raises:
            InputError: the model does not fit the data.
        """

    @abstractmethod
    def set_epoch(self, epoch: int, skip: int) -> None:
        """Choose the epoch that the loader gives next, without its first `skip` batches."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches in the epoch, the skipped ones too."""

    @abstractmethod
    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """What the network takes of a batch."""

    @abstractmethod
    def losses(self, outputs: Any, batch: Any, gather: Callable[[Tensor], Tensor]) -> StepLosses:
        """Losses of the network's outputs; `gather` joins a tensor of all processes."""

    @abstractmethod
    def validate(self, model: Model, track: Track) -> float:
        """The metric of a model, 0 to 1."""

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Numbers of samples and of what else the report tells."""

    def __str__(self) -> str:
        return f"{self.counts['samples']} samples"


def task_for(dataset: str) -> type[Task]:
    """The task that a data set is for.

    Raises:
        InputError: no task knows it.
    """
    for name, entry in TASKS.items():
        if isinstance(entry, tuple):
            package = __package__.split(".")[0]
            entry = TASKS[name] = getattr(importlib.import_module(f"{package}.{entry[0]}"), entry[1])
        if entry.knows(dataset):
            return entry
    raise InputError(f"No task trains on the data set {dataset!r}; there are {', '.join(TASKS)}.")
