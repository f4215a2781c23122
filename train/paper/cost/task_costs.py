"""Cost of the model of a recipe or a checkpoint, by its task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ....common.records import Report
from ....runtime.bundle.tasks import ATTRIBUTES, RE_IDENTIFICATION
from ....runtime.data.readers.benchmarks import benchmark_info, require_benchmark_of
from ...engine.recipe import Recipe
from ...models.checkpoints.weights import load_checkpoint
from .attribute_cost import checkpoint_costs, recipe_costs
from .model_cost import mambapro_info, model_info

#: Functions from a recipe and the name of a data set, and from a model and its path.
_RECIPES: dict[str, Callable[[Any, str | None], Report]] = {RE_IDENTIFICATION: model_info, ATTRIBUTES: recipe_costs}
_CHECKPOINTS: dict[str, Callable[[Any, Path], Report]] = {
    RE_IDENTIFICATION: mambapro_info,
    ATTRIBUTES: checkpoint_costs,
}


def recipe_info(recipe: Recipe, dataset: str | None = None) -> Report:
    """Return the cost of a recipe's model; `dataset` None is the recipe's own, or that of its publication.

    Raises:
        InputError: a data set or model that does not exist, or of another task.
    """
    if dataset is not None:
        require_benchmark_of(recipe.task, dataset)
    return _RECIPES[recipe.task](recipe, dataset)


def any_checkpoint_info(path: Path, dataset: str | None = None, weights: str | None = None) -> Report:
    """Return the cost of a checkpoint's model; the files of MambaPro's authors need `dataset` for their image size.

    `weights` names one of several sets of weights in the file, see `load_checkpoint`.

    Raises:
        InputError: no such file, or the image size is not known.
        ArtifactError: a damaged file.
    """
    size = None if dataset is None else benchmark_info(dataset).image_size
    model = load_checkpoint(path, default_image_size=size, weights=weights, dataset=dataset)
    return _CHECKPOINTS[model.spec.task](model, path)
