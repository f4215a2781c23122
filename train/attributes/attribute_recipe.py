"""Recipe of attribute recognition; the packaged ones are TOML files, read by train.engine.recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar

from torch.optim import SGD, Adam, Optimizer

from ...common.foreign_text import shown_text
from ...errors import InputError
from ...runtime.bundle.tasks import ATTRIBUTES
from ..engine.recipe import Ranges, Recipe, SolverSettings, check_ranges, check_text, override_names
from ..engine.transforms import Augmentation
from ..models.attributes.attribute_config import AttributeConfig
from ..models.attributes.attribute_model import AttributeModel
from ..models.attributes.named_models import NAMED_MODELS
from ..models.model_spec import Model
from ..models.ranges import Range
from ..models.registry import model_class
from .attribute_losses import IGNORED, UNKNOWN_LABELS
from .attribute_pretraining import Pretraining

#: Fields of the model's config that a recipe sets elsewhere, or that the data set decides.
OWN_FIELDS = frozenset({"image_size", "attributes", "backbone"})
OVERRIDES = override_names(AttributeConfig, OWN_FIELDS)
OPTIMIZERS = ("adam", "sgd")
METRICS = ("mA", "F1")
WORDS = ("given", "hashed")
#: Pixels of padding at the paper's image size.
_PADDING, _SIDE = 10, 224
RANGES: Ranges = {
    "model": {"image_size": Range(1, 4096)},
    "solver": {"momentum": Range(0, 1, whole=False), "batch": Range(2, 65_536)},
    "augmentation": {"flip": Range(0, 1, whole=False), "padding": Range(0, 1024)},
    "": {"validation_images": Range(0, 1_000_000_000)},
}


@dataclass(frozen=True)
class AttributeModelSettings:
    """Settings of the model to build.

    `name` is one of `named_models.NAMED_MODELS`, `image_size` (height, width) in pixels. `overrides` are further fields
    of the model's config, its towers' among them: overrides.vim.drop_path. `words` says where the text models have
    their labels' token ids from: given with the training, or hashed. Without `from_scratch` pretrained weights of every
    tower must be given. `prior_bias` starts the last biases at the answer that suits the shares of positives; else they
    start at 0, as in the authors' code, and take thousands of steps to get there.
    """

    name: str = "par_image_vim_s"
    image_size: tuple[int, int] = (224, 224)
    words: str = "given"
    from_scratch: bool = False
    prior_bias: bool = False
    overrides: dict[str, Any] = field(default_factory=dict, metadata={"names": OVERRIDES})

    def __post_init__(self) -> None:
        check_ranges("model", self, RANGES["model"])
        check_text("model.words", self.words, WORDS)
        if self.name not in attribute_models():
            near = get_close_matches(self.name[:100], attribute_models(), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"model.name {shown_text(self.name, 80)!r} is no attribute model; there are "
                f"{', '.join(name for name in attribute_models() if not name.startswith('mini_'))}, and mini_ before "
                f"each.{hint}"
            )

    @property
    def kind(self) -> type[AttributeModel]:
        """Class of the model."""
        return model_class(NAMED_MODELS[self.name].kind)  # type: ignore[return-value]

    def config(self, attributes: int) -> AttributeConfig:
        """Return the model's config for a number of attributes.

        Raises:
            InputError: an unknown field of `overrides`, or a value out of range.
        """
        base = NAMED_MODELS[self.name].config.to_json()
        values = {**_changed(base, self.overrides, "model.overrides"), "attributes": attributes}
        return AttributeConfig.from_json({**values, "image_size": self.image_size})


def attribute_models() -> list[str]:
    """Return the names of the models that can be trained."""
    return [name for name, named in NAMED_MODELS.items() if isinstance(named.config, AttributeConfig)]


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return nested values with some of them changed.

    Raises:
        InputError: a field that is not among them, or a table in place of a value.
    """
    changed = dict(values)
    for name, value in changes.items():
        where = f"{path}.{shown_text(name, 60)}"
        if name not in values:
            near = get_close_matches(str(name)[:100], list(values), n=1)
            hint = f"did you mean {path}.{near[0]}?" if near else f"allowed are {', '.join(values)}."
            raise InputError(f"The recipe has no field {where}; {hint}")
        if isinstance(values[name], Mapping) != isinstance(value, Mapping):
            raise InputError(f"{where} must be {'a table' if isinstance(values[name], Mapping) else 'a value'}.")
        changed[name] = _changed(values[name], value, where) if isinstance(value, Mapping) else value
    return changed


@dataclass(frozen=True)
class AttributeSolver(SolverSettings):
    """Optimizer, schedule, batch and loss.

    Adam is the paper's optimizer, SGD with `momentum` that of the authors' code; weight decay applies to every
    parameter. `accumulate` batches make one optimizer step. `unknown` says what happens to labels that nobody judged:
    "ignored" leaves them out; "released" takes them for targets of value 2, as the authors' code does.
    """

    optimizer: str = "adam"
    epochs: int = 100
    warmup_epochs: int = 5
    base_lr: float = 2.5e-4
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 64
    accumulate: int = 1
    unknown: str = IGNORED

    lowest: ClassVar[float] = 0.002

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("solver.optimizer", self.optimizer, OPTIMIZERS)
        check_text("solver.unknown", self.unknown, UNKNOWN_LABELS)
        check_ranges("solver", self, RANGES["solver"])

    def build(self, model: Model) -> Optimizer:
        """Build the optimizer over the trainable parameters, in one group.

        Raises:
            InputError: no trainable parameter.
        """
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not parameters:
            raise InputError("No parameter takes a gradient, so there is nothing to train.")
        group = {"params": parameters, "lr": self.base_lr, "base_lr": self.base_lr}
        decay = self.weight_decay
        if self.optimizer == "sgd":
            return SGD([group], lr=self.base_lr, momentum=self.momentum, weight_decay=decay, fused=True)
        return Adam([group], lr=self.base_lr, weight_decay=decay, fused=True)


@dataclass(frozen=True)
class CropAndFlip:
    """Augmentation: zeros around the image, a crop of its size, and a flip with a probability.

    `padding` None is 10 pixels at 224 pixels of the shorter side, and in proportion at others.
    """

    flip: float = 0.5
    padding: int | None = None

    def __post_init__(self) -> None:
        check_ranges("augmentation", self, RANGES["augmentation"])

    def settings(self, image_size: tuple[int, int]) -> Augmentation:
        """Return the settings of the transform for images of (height, width) pixels."""
        padding = round(_PADDING * min(image_size) / _SIDE) if self.padding is None else self.padding
        return Augmentation(flip=self.flip, padding=padding, erase=0.0)


@dataclass(frozen=True)
class AttributeRecipe(Recipe):
    """Complete recipe of attribute recognition; see `Recipe`. Change fields with `dataclasses.replace`.

    The best epoch has the highest `metric`, "mA" or "F1", on the validation part of the data set, or on a tenth of the
    training images where it has none. A number of `validation_images` is held out of the training images in any case;
    0: none, the last epoch counts as best. `train_on_validation` adds the validation part to the training, as the
    authors do.
    """

    task: ClassVar[str] = ATTRIBUTES
    held_out_field: ClassVar[str] = "validation_images"

    name: str
    dataset: str | None = None
    model: AttributeModelSettings = field(default_factory=AttributeModelSettings)
    solver: AttributeSolver = field(default_factory=AttributeSolver)
    augmentation: CropAndFlip = field(default_factory=CropAndFlip)
    metric: str = "mA"
    validation_images: int | None = None
    train_on_validation: bool = False
    select_on_test: bool = False
    seed: int = 605
    precision: str = "auto"
    workers: int = 0
    save_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("metric", self.metric, METRICS)
        check_ranges("", self, RANGES[""])
        if self.train_on_validation and self.validation_images is None and not self.select_on_test:
            raise InputError(
                "train_on_validation leaves no validation part. Say how many training images are held out "
                "(validation_images, 0 for none), or select on the test set."
            )

    @property
    def pretraining(self) -> Pretraining:
        """Weights and words that the model needs to start with."""
        settings = self.model
        return Pretraining(settings.kind, settings.config(1), settings.words == "hashed", settings.from_scratch)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the pretrained weights, and of the labels' words, that `initialiser` takes."""
        return self.pretraining.sources

    def check_start(self, initialised: bool) -> None:
        """Raise InputError if the model needs pretrained weights, a teacher or words and has none."""
        if not initialised:
            self.pretraining.require({})

    def freeze(self, model: Model) -> None:
        """Freeze the teacher."""
        assert isinstance(model, AttributeModel)
        model.freeze()

    def initialiser(self, **sources: Any) -> Callable[[Any], Any] | None:
        """Return the function that fills a new model's towers and teacher and sets its labels' words."""
        return self.pretraining.initialiser(sources)

    def to_json(self) -> dict[str, Any]:
        """Return a nested plain dict of every field, and the task."""
        return {"task": self.task, **super().to_json()}
