"""Recipe of re-identification; the published ones are TOML files in this folder, read by recipes.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch.optim import Optimizer

from ...errors import InputError
from ...runtime.bundle.tasks import RE_IDENTIFICATION
from ..models.mambapro.model_config import MambaProConfig
from ..models.mambapro.pretrained import initialiser
from ..models.model_spec import Model
from ..models.ranges import Range
from .optimizer import build_optimizer, freeze_pretrained
from .recipe import Ranges, Recipe, SolverSettings, check_ranges, override_names
from .transforms import Augmentation

#: Fields of the model's config that a recipe sets elsewhere, or that the data set decides.
OWN_FIELDS = frozenset({"image_size", "direct", "cameras", "identities"})
#: Fields of the model's config that `ModelSettings.overrides` may set.
OVERRIDES = override_names(MambaProConfig, OWN_FIELDS)
#: Default share of validation identities: one in this many training identities.
VALIDATION_SHARE = 10
#: Valid ranges by section and field, beside those of all recipes.
RANGES: Ranges = {
    "model": {"image_size": Range(1, 4096)},
    "solver": {
        "bias_lr_factor": Range(0, 1000, whole=False),
        "backbone_lr": Range(0, 100, whole=False),
        "identities_per_batch": Range(1, 1024),
        "images_per_identity": Range(1, 1024),
        "id_weight": Range(0, 1000, whole=False),
        "triplet_weight": Range(0, 1000, whole=False),
        "label_smoothing": Range(0, 1, whole=False),
        "margin": Range(0, 1000, whole=False),
    },
    "": {"validation_identities": Range(0, 1_000_000)},
}


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
    overrides: dict[str, Any] = field(default_factory=dict, metadata={"names": OVERRIDES})

    def __post_init__(self) -> None:
        check_ranges("model", self, RANGES["model"])
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
class Solver(SolverSettings):
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
        super().__post_init__()
        check_ranges("solver", self, RANGES["solver"])

    def build(self, model: Model) -> Optimizer:
        """Build Adam with the rates of the recipe, see `build_optimizer`."""
        return build_optimizer(
            model.named_parameters(),
            model.spec.pretrained,
            base=self.base_lr,
            bias_factor=self.bias_lr_factor,
            pretrained=self.backbone_lr,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class TrainConfig(Recipe):
    """Complete recipe of re-identification; see `Recipe`. Change fields with `dataclasses.replace`.

    The best epoch has the highest mAP on `validation_identities`, which are held out of the training set: None holds
    out a tenth, 0 none, and then the last epoch counts as best.
    """

    task: ClassVar[str] = RE_IDENTIFICATION
    held_out_field: ClassVar[str] = "validation_identities"

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
        super().__post_init__()
        check_ranges("", self, RANGES[""])

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the pretrained weights, and of what belongs to them, that `initialiser` takes."""
        return ("clip", "clip_torchscript", "imagenet", "backbone", "weights")

    def check_start(self, initialised: bool) -> None:
        """Raise InputError if the backbone is frozen and not pretrained."""
        if self.model.frozen and not initialised:
            raise InputError(
                f"The recipe {self.name!r} freezes the backbone, so it needs pretrained weights to start from. "
                "Give them (--clip, --imagenet or --backbone), or set model.frozen to false and train it from scratch."
            )

    def freeze(self, model: Model) -> None:
        """Freeze the pretrained tower if the recipe says so."""
        if self.model.frozen:
            freeze_pretrained(model)

    def initialiser(self, **sources: Any) -> Callable[[Any], Any] | None:
        """Return the function that fills a new model's backbone, see `mambapro.pretrained.initialiser`."""
        return initialiser(
            sources.get("clip"),
            sources.get("backbone"),
            sources.get("imagenet"),
            allow_torchscript=bool(sources.get("clip_torchscript")),
            weights=sources.get("weights"),
        )

    def held_out(self, identities: int) -> int:
        """Return the number of validation identities out of `identities` training identities."""
        if self.select_on_test:
            return 0
        return identities // VALIDATION_SHARE if self.validation_identities is None else self.validation_identities
