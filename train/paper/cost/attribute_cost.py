"""Values, multiply-additions and scan work of the attribute models, counted without memory, beside the paper's figures.

Of the paper (https://arxiv.org/abs/2407.10374) parameters are known, from its efficiency figure; its tables are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ....common.records import Report
from ....common.tables import number, text_table
from ...attributes.attribute_recipe import AttributeRecipe
from ...models.attributes.attribute_config import AttributeConfig
from ...models.attributes.attribute_model import AttributeModel
from ...models.attributes.named_models import NAMED_MODELS
from ...models.attributes.text_attributes import TextAttributes
from ...models.registry import model_class
from .operations import SCAN, OperationCounter

#: Values in millions that the paper's efficiency figure shows, by name of the model.
PAPER = {"par_image_vim_s": 25.7, "par_image_vit_b": 86.6, "par_image_vmamba_b": 77.0}
_NOTES = {
    "par_image_vmamba_b": "the figure's bar is read as 77; counted are 77.06 with 26 attributes",
    "par_image_vit_b": "11 of 12 blocks run, as released; the values of all are counted, as in the figure",
}


@dataclass(frozen=True)
class AttributeCost(Report):
    """Cost of one model, for one image; the labels' vectors are constants.

    Attributes:
        name: of `NAMED_MODELS`, or a file.
        values, deployed_values: numbers of all parameters, and of those that the deployed logits depend on.
        operations, scan: multiply-additions in products and convolutions, and work of the scans, of the whole forward
            pass with the teacher of a training.
        deployed_operations, deployed_scan: of the deployed logits alone.
        paper: millions of values in the paper's figure, None where it shows none.
        note: explanation of a difference.
    """

    name: str
    values: int
    deployed_values: int
    operations: int
    scan: int
    deployed_operations: int
    deployed_scan: int
    paper: float | None = None
    note: str = ""

    def cells(self) -> list[str]:
        """Return the cells of the printed row."""
        counts = [f"{self.values / 1e6:.2f}", f"{self.deployed_values / 1e6:.2f}"]
        counts += [
            f"{value / 1e9:.2f}" for value in (self.operations, self.scan, self.deployed_operations, self.deployed_scan)
        ]
        return [self.name, *counts, number(self.paper, 1)]


@dataclass(frozen=True)
class AttributeCostReport(Report):
    """Costs of some attribute models, for images of `image_size` (height, width) and a number of attributes."""

    image_size: tuple[int, int]
    attributes: int
    models: tuple[AttributeCost, ...]

    def __str__(self) -> str:
        heads = ["model", "M values", "deployed", "G mult-adds", "G scan", "deployed", "deployed scan", "paper, M"]
        height, width = self.image_size
        text = (
            "As trained, with text encoder (values) and teacher, and deployed: what the exported logits depend on; "
            "the labels' vectors are constants, and classifiers and blocks without use are left out. G mult-adds: 10^9 "
            "multiplications with their addition in products and convolutions; scan: 9 for each token, channel, "
            "direction and state, and 1 for D. paper: parameters read from its efficiency figure; others are not known "
            "here."
        )
        notes = [f"{model.name}: {model.note}" for model in self.models if model.note]
        head = f"one image of {height}x{width} pixels, {self.attributes} attributes"
        return "\n".join([head, text_table([heads, *(model.cells() for model in self.models)]), text, *notes])


def named_attribute_costs(names: Iterable[str] = ()) -> AttributeCostReport:
    """Count attribute models by name, all of full size for no name; nothing is loaded.

    Raises:
        InputError: sizes that do not fit each other.
    """
    chosen = tuple(names) or tuple(
        name for name in NAMED_MODELS if name.startswith(("par_", "hybrid")) and not name.endswith("_fixedtext")
    )
    costs = tuple(attribute_cost(NAMED_MODELS[name].kind, NAMED_MODELS[name].config, name) for name in chosen)
    config = NAMED_MODELS[chosen[0]].config
    return AttributeCostReport(config.image_size, config.attributes, costs)


def recipe_costs(recipe: AttributeRecipe, dataset: str | None = None) -> AttributeCostReport:
    """Count the model of a recipe, of 26 attributes as PA100K has; the data set changes little and is not used."""
    settings, count = recipe.model, AttributeConfig.attributes
    config = settings.config(count)
    cost = attribute_cost(NAMED_MODELS[settings.name].kind, config, settings.name)
    if config != NAMED_MODELS[settings.name].config:
        # the figure is of the published size
        cost = replace(cost, paper=None, note="")
    return AttributeCostReport(config.image_size, count, (cost,))


def checkpoint_costs(model: AttributeModel, path: Path) -> AttributeCostReport:
    """Count the model of the checkpoint at `path`."""
    cost = attribute_cost(model.kind, model.config, path.name)
    return AttributeCostReport(model.config.image_size, model.config.attributes, (cost,))


def attribute_cost(kind: str, config: Any, name: str) -> AttributeCost:
    """Count a model of a kind of the registry, built without memory."""
    with torch.device("meta"):
        model = cast(AttributeModel, model_class(kind)(config)).eval()  # type: ignore[call-arg]
        if isinstance(model, TextAttributes):
            model.label_tokens, model.label_vectors = None, torch.empty(config.attributes, config.text.width)
        images = torch.empty(1, 3, *config.image_size)
    deployed = OperationCounter(scans=True)
    with deployed:
        logits = model.logits(images)
    whole = deployed
    if type(model).logits is not AttributeModel.logits:
        # with the teacher
        whole = OperationCounter(scans=True)
        with torch.no_grad(), whole:
            model.outputs(images)
    return AttributeCost(
        name=name,
        values=sum(parameter.numel() for parameter in model.parameters()),
        deployed_values=_used_values(model, logits),
        operations=whole.total.total() - whole.total[SCAN],
        scan=whole.total[SCAN],
        deployed_operations=deployed.total.total() - deployed.total[SCAN],
        deployed_scan=deployed.total[SCAN],
        paper=PAPER.get(name),
        note=_NOTES.get(name, ""),
    )


def _used_values(model: AttributeModel, logits: Tensor) -> int:
    """Return the number of values of the parameters that have a gradient from the deployed logits."""
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    return sum(parameter.numel() for parameter, gradient in pairs if gradient is not None)
