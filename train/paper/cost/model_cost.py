"""Values and operations of a model by part, and of the paper's parts in the paper's units."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ....common.records import Report
from ....common.tables import number, text_table
from ....errors import InputError
from ....runtime.data.readers.benchmarks import benchmark_info
from ...engine.training_config import TrainConfig
from ...models.checkpoints.weights import load_checkpoint
from ...models.mambapro.mambapro import require_mambapro
from ...models.mambapro.model_config import MambaProConfig
from ...models.mambapro.sizes import config_of_size
from ...models.model_spec import Model
from ..ablation.tables import table_named
from .operations import operations
from .paper_table import CostReport, table_costs
from .parameters import PARTS, all_values, empty_model, trained_values

#: The paper's figure of each part, in millions, and its table.
PAPER = {
    "backbone": (86.14, "table 3, B"),
    "adapter": (28.34, "table 3, C"),
    "prompt": (28.48, "table 3, D"),
    "aggregation": (9.47, "table 6, one block; the model has two"),
}
PAPER_TRAINED = (74.20, "table 3, F; without heads and camera table")
#: Fields in which the published model may differ.
_FREE = {"image_size", "cameras", "identities", "direct", "sie_camera", "sie_coe", "pixel_mean", "pixel_std"}


@dataclass(frozen=True)
class PartCost:
    """Cost of one part: values, values that a training changes, operations of one sample of three images."""

    part: str
    values: int
    trained: int
    operations: int
    paper: float | None
    source: str


@dataclass(frozen=True)
class InfoReport(Report):
    """Cost of a model; `tables` are the paper's rows about its parts, empty if it is not the published model."""

    name: str
    image_size: tuple[int, int]
    cameras: int
    identities: int
    frozen: bool
    parts: tuple[PartCost, ...]
    tables: tuple[CostReport, ...]

    def __str__(self) -> str:
        height, width = self.image_size
        head = (
            f"{self.name}: {height}x{width} pixels, {self.cameras} cameras, {self.identities} identities, "
            f"backbone {'frozen' if self.frozen else 'trained'}"
        )
        heads = ["part", "values", "trained", "G operations"]
        rows = [[PARTS[p.part], f"{p.values:,}", f"{p.trained:,}", f"{p.operations / 1e9:.2f}"] for p in self.parts]
        totals = [sum(getattr(p, name) for p in self.parts) for name in ("values", "trained", "operations")]
        rows.append(["all", f"{totals[0]:,}", f"{totals[1]:,}", f"{totals[2] / 1e9:.2f}"])
        if self.tables:
            heads += ["paper, M", ""]
            figures = [[number(p.paper, 2), p.source] for p in self.parts] + [
                [f"{PAPER_TRAINED[0]:.2f}", PAPER_TRAINED[1]]
            ]
            rows = [[*row, *more] for row, more in zip(rows, figures, strict=True)]
        text = (
            "G operations: multiply-additions of one sample of three images in evaluation; the scan counts 9 a state."
        )
        return "\n\n".join(["\n".join([head, text_table([heads, *rows]), text]), *map(str, self.tables)])


def model_info(recipe: TrainConfig, dataset: str | None = None) -> InfoReport:
    """Return the cost of a recipe's model; `dataset` None is the recipe's own, or RGBNT201.

    Raises:
        InputError: a data set or model that does not exist.
    """
    info = benchmark_info(dataset or recipe.dataset or "rgbnt201")
    config = config_of_size(
        recipe.model.size,
        image_size=recipe.model.image_size_for(info.image_size),
        cameras=info.cameras,
        identities=info.identities,
        direct=recipe.model.direct,
        **recipe.model.overrides,
    )
    return _report(f"{recipe.model.size} for {info.title}", config, recipe.model.frozen)


def checkpoint_info(path: Path, dataset: str | None = None, weights: str | None = None) -> InfoReport:
    """Return the cost of a checkpoint's model; the authors' files need `dataset` for their image size.

    `weights` names one of several sets of weights in the file, see `load_checkpoint`.

    Raises:
        InputError: no such file, or the image size is not known.
        ArtifactError: a damaged file.
    """
    size = None if dataset is None else benchmark_info(dataset).image_size
    return mambapro_info(load_checkpoint(path, default_image_size=size, weights=weights, dataset=dataset), path)


def mambapro_info(model: Model, path: Path) -> InfoReport:
    """Return the cost of a loaded model, of the checkpoint at `path`.

    Raises:
        InputError: a model of another kind.
    """
    require_mambapro(model, path)
    settings = model.trained_on.get("config", {}).get("model", {})
    return _report(path.name, model.config, bool(settings.get("frozen", True)))


def table_info(table: str, recipe: TrainConfig) -> CostReport:
    """Return the columns of parameters and operations of a table of the paper, for the recipe's model size.

    Raises:
        InputError: no such table, or one that prints neither.
    """
    if recipe.model.overrides:
        raise InputError("The rows of a table say what the model is; leave model.overrides out.")
    return table_costs(table_named(table), recipe.model.size)


def _report(name: str, config: MambaProConfig, frozen: bool) -> InfoReport:
    model = empty_model(config)
    values, trained, counts = all_values(model), trained_values(model, frozen), operations(model)
    published = _is_published(config)
    parts = tuple(
        PartCost(
            part, values[part], trained[part], counts[part], *(PAPER.get(part, (None, "")) if published else (None, ""))
        )
        for part in PARTS
    )
    tables = tuple(table_costs(table_named(key)) for key in ("4", "5", "6")) if published else ()
    return InfoReport(name, config.image_size, config.cameras, config.identities, frozen, parts, tables)


def _is_published(config: MambaProConfig) -> bool:
    """Return True if the model is that of the paper, apart from fields that depend on the data set."""
    usual = MambaProConfig()
    return all(getattr(config, f.name) == getattr(usual, f.name) for f in fields(config) if f.name not in _FREE)
