"""Training configuration; the published recipes are TOML files in this folder, read by recipes.py."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ...common.foreign_text import shown_value
from ...errors import InputError
from ..models.mambapro.model_config import MambaProConfig
from ..models.ranges import Range, check_range
from ..reid.transforms import Augmentation

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
#: Fields of the model's config that a recipe sets elsewhere, or that the data set decides.
OWN_FIELDS = frozenset({"image_size", "direct", "cameras", "identities"})
#: Fields of the model's config that `ModelSettings.overrides` may set.
OVERRIDES = tuple(sorted({item.name for item in fields(MambaProConfig)} - OWN_FIELDS))
#: Default share of validation identities: one in this many training identities.
VALIDATION_SHARE = 10


#: Valid ranges by section and field; a typing error in a recipe must not exhaust the memory or waste a night.
RANGES = {
    "model": {"image_size": Range(1, 4096)},
    "solver": {
        "epochs": Range(1, 100_000),
        "warmup_epochs": Range(0, 100_000),
        "base_lr": Range(0, 100, whole=False),
        "bias_lr_factor": Range(0, 1000, whole=False),
        "backbone_lr": Range(0, 100, whole=False),
        "weight_decay": Range(0, 10, whole=False),
        "identities_per_batch": Range(1, 1024),
        "images_per_identity": Range(1, 1024),
        "id_weight": Range(0, 1000, whole=False),
        "triplet_weight": Range(0, 1000, whole=False),
        "label_smoothing": Range(0, 1, whole=False),
        "margin": Range(0, 1000, whole=False),
        "accumulate": Range(1, 10_000),
    },
    "": {
        "validation_identities": Range(0, 1_000_000),
        "seed": Range(0, 2**63 - 1),
        "workers": Range(0, 256),
        "save_every": Range(0, 1_000_000_000),
    },
}


def _check_ranges(section: str, values: Any) -> None:
    """Check every number of a section against its range; None means unset."""
    for name, allowed in RANGES[section].items():
        value = getattr(values, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None:
                check_range(f"{section}.{name}".lstrip("."), number, allowed)


@dataclass(frozen=True)
class ModelSettings:
    """Settings of the model to build.

    `image_size` is (height, width) in pixels; its sides are swapped if the images of the data set have the other
    orientation. `frozen` freezes CLIP's parameters. `overrides` are further fields of the model's own config.
    """

    size: str = "vit_b16"
    image_size: tuple[int, int] = (256, 128)
    direct: bool = True
    frozen: bool = True
    overrides: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_ranges("model", self)
        if ours := sorted(OWN_FIELDS & self.overrides.keys()):
            raise InputError(
                f"model.overrides may not set {', '.join(ours)}: image_size and direct stand in [model], cameras and "
                "identities are the training set's."
            )

    def image_size_for(self, benchmark_size: tuple[int, int]) -> tuple[int, int]:
        """Return the image size in the orientation of the data set's (height, width)."""
        height, width = self.image_size
        turned = (height > width) != (benchmark_size[0] > benchmark_size[1])
        return (width, height) if turned else (height, width)


@dataclass(frozen=True)
class Solver:
    """Optimizer, schedule, batch and loss.

    `backbone_lr` is the rate of CLIP's own tensors if they are not frozen. `margin` None is the soft margin.
    `accumulate` batches make one optimizer step; triplets are mined within each of them.
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
    accumulate: int = 1

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
        _check_ranges("solver", self)


@dataclass(frozen=True)
class TrainConfig:
    """Complete recipe. Change fields with `dataclasses.replace`.

    `dataset` is the intended benchmark, None for any. `precision` "auto" is float16 on CUDA and float32 elsewhere.

    The best epoch has the highest mAP on `validation_identities`, which are held out of the training set: None holds
    out a tenth, 0 none, and then the last epoch counts as best. `select_on_test` selects on the test set instead, as
    for the published figures, which are therefore optimistic.

    The state for `--resume` is also written every `save_every` batches; 0: after each epoch only. `workers` is the
    number of processes that prepare batches; 0 prepares them between steps.
    """

    name: str
    dataset: str | None = None
    model: ModelSettings = field(default_factory=ModelSettings)
    solver: Solver = field(default_factory=Solver)
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation_identities: int | None = None
    select_on_test: bool = False
    seed: int = 1111
    precision: str = "auto"
    workers: int = 0
    save_every: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision={shown_value(self.precision, 80)} is none of {', '.join(PRECISIONS)}.")
        _check_ranges("", self)
        if self.select_on_test and self.validation_identities:
            raise InputError("select_on_test leaves no use for validation_identities; set it to 0.")

    def held_out(self, identities: int) -> int:
        """Return the number of validation identities out of `identities` training identities."""
        if self.select_on_test:
            return 0
        return identities // VALIDATION_SHARE if self.validation_identities is None else self.validation_identities

    def to_json(self) -> dict[str, Any]:
        """Return a nested plain dict of every field."""
        return asdict(self)
