"""Base of the recipes: the fields that the engine reads, whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar

from torch.optim import Optimizer

from ...common.foreign_text import shown_value
from ...errors import InputError
from ..models.model_spec import Model
from ..models.ranges import Range, check_range

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
#: Valid ranges by section and field; a typing error in a recipe must not exhaust the memory or waste a night.
Ranges = Mapping[str, Mapping[str, Range]]
COMMON_RANGES: Ranges = {
    "solver": {
        "epochs": Range(1, 100_000),
        "warmup_epochs": Range(0, 100_000),
        "base_lr": Range(0, 100, whole=False),
        "weight_decay": Range(0, 10, whole=False),
        "accumulate": Range(1, 10_000),
    },
    "": {
        "seed": Range(0, 2**63 - 1),
        "workers": Range(0, 256),
        "save_every": Range(0, 1_000_000_000),
    },
}


def check_ranges(section: str, values: Any, ranges: Mapping[str, Range]) -> None:
    """Check every number of a section against its range; None means unset."""
    for name, allowed in ranges.items():
        value = getattr(values, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None:
                check_range(f"{section}.{name}".lstrip("."), number, allowed)


def check_text(path: str, value: str, allowed: tuple[str, ...]) -> None:
    """Check that a text is one of those allowed.

    Raises:
        InputError: another text.
    """
    if value not in allowed:
        raise InputError(f"{path} must be one of {', '.join(allowed)}, not {shown_value(value, 80)}.")


class SolverSettings(ABC):
    """Section `solver` of a recipe: a dataclass with these fields and those of its task.

    Attributes:
        lowest: rate of the last epoch, as a fraction of `base_lr`.
    """

    epochs: int
    warmup_epochs: int
    base_lr: float
    weight_decay: float
    accumulate: int
    lowest: ClassVar[float] = 0.001

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise InputError(f"accumulate={self.accumulate}: at least 1, which is a step for every batch.")
        if self.epochs < 1 or self.warmup_epochs < 0:
            raise InputError(
                f"epochs={self.epochs}, warmup_epochs={self.warmup_epochs}: "
                "take at least one epoch and a warm-up no longer than the training."
            )
        if self.warmup_epochs > self.epochs:
            raise InputError(
                f"epochs={self.epochs}, warmup_epochs={self.warmup_epochs}: the warm-up is longer than the training. "
                "Shorten it: --set solver.warmup_epochs=0 (solver.warmup_epochs in a recipe file)."
            )
        check_ranges("solver", self, COMMON_RANGES["solver"])

    @abstractmethod
    def build(self, model: Model) -> Optimizer:
        """Build the optimizer of a model's trainable parameters; each group holds its rate as "base_lr"."""


class Recipe(ABC):
    """Complete recipe of a task: a frozen dataclass with these fields and those of its task.

    `dataset` is the intended data set, None for any. `precision` "auto" is float16 on CUDA and float32 elsewhere.

    `select_on_test` selects the best epoch on the test set, as for published figures, which are therefore optimistic.

    The state for `--resume` is also written every `save_every` batches; 0: after each epoch only. `workers` is the
    number of processes that prepare batches; 0 prepares them between steps.

    Attributes:
        task: name of the task, see `runtime.bundle.tasks`.
        held_out_field: field with the amount of training data that is held out for validation.
    """

    task: ClassVar[str]
    held_out_field: ClassVar[str]

    name: str
    dataset: str | None
    model: Any
    solver: Any
    select_on_test: bool
    seed: int
    precision: str
    workers: int
    save_every: int

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision={shown_value(self.precision, 80)} is none of {', '.join(PRECISIONS)}.")
        check_ranges("", self, COMMON_RANGES[""])
        if self.select_on_test and getattr(self, self.held_out_field):
            raise InputError(f"select_on_test leaves no use for {self.held_out_field}; set it to 0.")

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """Names of the pretrained weights, and of what belongs to them, that `initialiser` takes."""

    @abstractmethod
    def check_start(self, initialised: bool) -> None:
        """Check that a training of this recipe may start with or without pretrained weights.

        Raises:
            InputError: it may not.
        """

    @abstractmethod
    def freeze(self, model: Model) -> None:
        """Freeze the parameters that the recipe does not train."""

    @abstractmethod
    def initialiser(self, **sources: Any) -> Callable[[Any], Any] | None:
        """Return the function that fills a new model with pretrained weights, None if there are none.

        Args:
            sources: by the names of `sources`, those that were given.

        Raises:
            InputError: they do not fit together, or the recipe's model.
        """

    def to_json(self) -> dict[str, Any]:
        """Return a nested plain dict of every field."""
        return asdict(self)  # type: ignore[call-overload]


def override_names(config_type: type[Any], excluded: frozenset[str]) -> tuple[str, ...]:
    """Return the fields of a model's config that a recipe may set."""
    return tuple(sorted({item.name for item in fields(config_type)} - excluded))
