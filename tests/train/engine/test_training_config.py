"""Training recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mambapro.errors import InputError
from mambapro.train.attributes.attribute_recipe import AttributeRecipe
from mambapro.train.engine.recipes import from_values, load_recipe, recipe_names
from mambapro.train.engine.training_config import ModelSettings, Solver, TrainConfig


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
    config = load_recipe(name)

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
    tiny = load_recipe("tiny").model

    assert tiny.image_size_for((256, 128)) == (128, 64)
    assert tiny.image_size_for((128, 256)) == (64, 128)
    assert ModelSettings(image_size=(128, 256)).image_size_for((256, 128)) == (256, 128)


#: Fields that differ from the packaged recipes, by the class of the recipe.
CHANGED = {
    TrainConfig: ["augmentation.shared=true", "model.overrides.mamba=false"],
    AttributeRecipe: ["metric=F1", "model.overrides.vim.drop_path=0.2", "solver.unknown=released"],
}


@pytest.mark.parametrize("name", recipe_names())
def test_stored_and_read_back(name: str) -> None:
    """A recipe goes through JSON, as beside the weights, and is the same."""
    config = load_recipe(name, CHANGED[type(load_recipe(name))])

    assert from_values(json.loads(json.dumps(config.to_json()))) == config


class TestChanges:
    def test_values(self) -> None:
        """Fields take TOML values, bare words, whole numbers for floats, and none."""
        changes = ["solver.base_lr=1", "solver.margin=none", "precision=bfloat16", "model.image_size=[64, 32]"]
        config = load_recipe("tiny", ["solver.margin=0.3", *changes])

        assert (config.solver.base_lr, config.solver.margin) == (1.0, None)
        assert (config.precision, config.model.image_size) == ("bfloat16", (64, 32))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("solver.epoch=3", r"no field solver\.epoch; did you mean solver\.epochs\?"),
            ("model.overrides.promt=false", r"did you mean model\.overrides\.prompt\?"),
            ("zzz=1", "allowed are name, dataset"),
            ("solver.epochs=many", "solver.epochs must be a whole number, not 'many'"),
            ("solver.epochs=true", "must be a whole number"),
            ("model.frozen=1", "must be true or false"),
            ("model.image_size=[1, 2, 3]", "a list of 2 values"),
            ("model=3", "model must be a table"),
            ("seed.low=1", "seed is a value"),
            ("seed", "write field=value"),
            ("model.overrides.cameras=3", "no field model.overrides.cameras"),
        ],
    )
    def test_refused(self, change: str, words: str) -> None:
        """An unknown field, with the nearest, and a wrong type raise InputError."""
        with pytest.raises(InputError, match=words):
            load_recipe("tiny", [change])


class TestFile:
    def test_read(self, tmp_path: Path) -> None:
        """A file of one's own holds only what differs from the defaults."""
        path = tmp_path / "mine.toml"
        path.write_text('name = "mine"\n[solver]\nepochs = 12\n')

        assert load_recipe(path) == TrainConfig("mine", solver=Solver(epochs=12))

    @pytest.mark.parametrize(("text", "words"), [("name = ", "cannot be read"), ("seed = 1", "lacks name")])
    def test_bad(self, tmp_path: Path, text: str, words: str) -> None:
        """What is no TOML, or has no name, raises InputError."""
        path = tmp_path / "bad.toml"
        path.write_text(text)

        with pytest.raises(InputError, match=words):
            load_recipe(path)


class TestHeldOut:
    @pytest.mark.parametrize(("given", "held"), [(None, 17), (0, 0), (30, 30)])
    def test_number(self, given: int | None, held: int) -> None:
        """A tenth of the training identities validates unless the recipe says how many."""
        assert TrainConfig("x", validation_identities=given).held_out(171) == held

    def test_on_test(self) -> None:
        """Choosing on the test set holds none out, and excludes asking for some."""
        assert TrainConfig("x", select_on_test=True).held_out(171) == 0
        with pytest.raises(InputError, match="select_on_test"):
            TrainConfig("x", select_on_test=True, validation_identities=3)


def test_unknown_preset() -> None:
    """An unknown recipe raises InputError and names the nearest."""
    with pytest.raises(InputError, match=r"'rgnt201'.*Did you mean 'rgbnt201'"):
        load_recipe("rgnt201")


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
