"""Training recipes."""

from __future__ import annotations

import json

import pytest
from mambapro.errors import InputError
from mambapro.train.config import PRESETS, ModelSettings, Solver, TrainConfig, preset


@pytest.mark.parametrize(
    ("name", "epochs", "warmup", "identities", "images", "size", "direct"),
    [
        ("rgbnt201", 60, 10, 16, 4, (256, 128), True),
        ("rgbnt100", 30, 5, 8, 16, (128, 256), False),
        ("msvr310", 60, 10, 16, 4, (128, 256), False),
    ],
)
def test_published(
    name: str, epochs: int, warmup: int, identities: int, images: int, size: tuple[int, int], direct: bool
) -> None:
    """The three recipes are the published ones."""
    config = preset(name)

    solver = config.solver
    assert config.name == name
    assert (solver.epochs, solver.warmup_epochs) == (epochs, warmup)
    assert (solver.identities_per_batch, solver.images_per_identity) == (identities, images)
    assert (solver.base_lr, solver.backbone_lr, solver.weight_decay) == (3.5e-4, 5e-6, 1e-4)
    assert (config.model.size, config.model.image_size, config.model.direct) == ("vit_b16", size, direct)
    assert config.model.frozen
    assert config.seed == 1111


def test_orientation() -> None:
    """The image size follows the data set: upright for persons, lying for vehicles."""
    tiny = preset("tiny").model

    assert tiny.image_size_for((256, 128)) == (128, 64)
    assert tiny.image_size_for((128, 256)) == (64, 128)
    assert ModelSettings(image_size=(128, 256)).image_size_for((256, 128)) == (256, 128)


def test_every_preset_is_plain_json() -> None:
    """Recipes can be stored beside the weights."""
    for name, config in PRESETS.items():
        assert json.loads(json.dumps(config.to_json()))["name"] == name


def test_unknown_preset() -> None:
    """An unknown recipe raises InputError and names the nearest."""
    with pytest.raises(InputError, match=r"'rgnt201'.*Did you mean 'rgbnt201'"):
        preset("rgnt201")


@pytest.mark.parametrize("values", [{"epochs": 0}, {"epochs": 3, "warmup_epochs": 4}])
def test_impossible_schedule(values: dict[str, int]) -> None:
    """A training without epochs or with a warm-up beyond its end raises InputError."""
    with pytest.raises(InputError, match="warm-up"):
        Solver(**values)


@pytest.mark.parametrize("values", [{"precision": "fp8"}, {"workers": -1}, {"validation_identities": -1}])
def test_impossible_config(values: dict[str, object]) -> None:
    """A precision that does not exist and negative counts raise InputError."""
    with pytest.raises(InputError):
        TrainConfig("x", **values)
