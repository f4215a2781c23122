"""Short trainings of tiny attribute models, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mambapro.train.attributes.attribute_recipe import AttributeRecipe
from mambapro.train.engine.loop import fit
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.engine.training_report import FitReport

#: A tower of 4 patches, on batches of 16 images.
SMALL = (
    "model.image_size=[32, 32]",
    "model.overrides.width=32",
    "model.overrides.vim.patch_size=16",
    "model.overrides.vit.patch_size=16",
    "model.overrides.vim.width=16",
    "model.overrides.vim.depth=4",
    "model.overrides.vit.width=32",
    "model.overrides.vit.depth=2",
    "model.overrides.vit.heads=2",
    "model.overrides.vmamba.width=8",
    "model.overrides.text.width=32",
    "solver.batch=16",
    "solver.warmup_epochs=0",
)


def recipe(name: str, *changes: str) -> AttributeRecipe:
    """A tiny recipe with small changes."""
    return load_recipe(f"mini_{name}", [*SMALL, *changes], kind=AttributeRecipe)


def train(
    name: str, data: Path, out: Path, *changes: str, given: dict[str, Any] | None = None, **more: Any
) -> FitReport:
    """Train on the toy people; `given` are the sources of the start."""
    config = recipe(name, *changes)
    start = config.initialiser(**(given or {}))
    return fit(config, data, "attributes", out, initialise=start, device="cpu", **more)
