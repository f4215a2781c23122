"""What a training run is made of, and the published recipes as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from ..errors import InputError
from .transforms import Augmentation

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelSettings:
    """Which model is built.

    `image_size` is (height, width) in pixels; its sides are swapped where the data set's images lie the other way.
    `frozen` keeps CLIP's parameters as they are. `overrides` are further fields of the model's own config.
    """

    size: str = "vit_b16"
    image_size: tuple[int, int] = (256, 128)
    direct: bool = True
    frozen: bool = True
    overrides: dict[str, Any] = field(default_factory=dict)

    def image_size_for(self, benchmark_size: tuple[int, int]) -> tuple[int, int]:
        """The image size, upright or lying as the data set's (height, width) is."""
        height, width = self.image_size
        turned = (height > width) != (benchmark_size[0] > benchmark_size[1])
        return (width, height) if turned else (height, width)


@dataclass(frozen=True)
class Solver:
    """Optimiser, schedule, batch and loss.

    `backbone_lr` is the rate of CLIP's own tensors where they are not frozen. `margin` None is the soft margin.
    """

    epochs: int = 60
    warmup_epochs: int = 10
    base_lr: float = 3.5e-4
    bias_lr_factor: float = 2.0
    backbone_lr: float = 5e-6
    weight_decay: float = 1e-4
    identities_per_batch: int = 16
    images_per_identity: int = 4
    id_weight: float = 0.25
    triplet_weight: float = 1.0
    label_smoothing: float = 0.1
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 <= self.warmup_epochs <= self.epochs:
            raise InputError(
                f"epochs={self.epochs}, warmup_epochs={self.warmup_epochs}: "
                "take at least one epoch and a warm-up no longer than the training."
            )


@dataclass(frozen=True)
class TrainConfig:
    """A whole recipe. Change fields with `dataclasses.replace`.

    `precision` "auto" is float16 on CUDA and float32 elsewhere. `validation_identities` are split off the training set
    to choose the best epoch; 0 keeps the last epoch. The test set never decides anything.
    """

    name: str
    model: ModelSettings = field(default_factory=ModelSettings)
    solver: Solver = field(default_factory=Solver)
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation_identities: int = 0
    seed: int = 1111
    precision: str = "auto"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision={self.precision!r} is none of {', '.join(PRECISIONS)}.")
        if self.validation_identities < 0 or self.workers < 0:
            raise InputError("validation_identities and workers must be 0 or more.")

    def to_json(self) -> dict[str, Any]:
        """Nested plain dict of every field."""
        return asdict(self)


_PERSONS = TrainConfig("rgbnt201")
_VEHICLES = TrainConfig("msvr310", model=ModelSettings(image_size=(128, 256), direct=False))

#: The three published recipes, and one that trains from scratch in minutes on a CPU.
PRESETS: dict[str, TrainConfig] = {
    "rgbnt201": _PERSONS,
    "rgbnt100": replace(
        _VEHICLES,
        name="rgbnt100",
        solver=Solver(epochs=30, warmup_epochs=5, identities_per_batch=8, images_per_identity=16),
    ),
    "msvr310": _VEHICLES,
    "tiny": TrainConfig(
        "tiny",
        model=ModelSettings(size="tiny", image_size=(128, 64), frozen=False),
        # From scratch the triplet loss pulls all features to one point before they mean anything, so the cross entropy
        # leads; small batches give more steps for the same number of images.
        solver=Solver(
            epochs=15,
            warmup_epochs=2,
            base_lr=2e-3,
            backbone_lr=2e-3,
            identities_per_batch=8,
            images_per_identity=2,
            id_weight=1.0,
            triplet_weight=0.1,
        ),
        augmentation=Augmentation(padding=4, erase=0.25),
    ),
}


def preset(name: str) -> TrainConfig:
    """The recipe called `name`.

    Raises:
        InputError: no such recipe; names the nearest.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name, PRESETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"No training recipe is called {name!r}; there are {', '.join(PRESETS)}.{hint}")
