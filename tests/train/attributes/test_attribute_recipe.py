"""Recipes of attribute recognition: published values, schedule, optimizers, fields that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribute_reference import FOLDER
from mambapro.errors import InputError
from mambapro.train.attributes.attribute_recipe import AttributeRecipe
from mambapro.train.engine.optimizer import EpochSchedule
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.engine.training_config import TrainConfig
from torch import nn

FULL = ("vim_s", "vmamba_b", "vit_b", "vsf_vim_s", "vsf_vmamba_b", "textconv_vim_s")
HYBRIDS = ("pafusion", "n_asf", "asf", "maformer", "mahdft", "adamtf", "kdtm", "makdf")


class TestPublished:
    @pytest.mark.parametrize("name", [*FULL, *HYBRIDS])
    def test_paper(self, name: str) -> None:
        """Adam with the paper's rates and batches; a tiny recipe of the same model stands beside each."""
        recipe, tiny = load_recipe(name, kind=AttributeRecipe), load_recipe(f"mini_{name}", kind=AttributeRecipe)

        solver = recipe.solver
        rate, batch = (8e-5, 16) if "vmamba" in name else (2.5e-4, 64)
        assert (solver.optimizer, solver.base_lr, solver.batch, solver.epochs) == ("adam", rate, batch, 100)
        assert (solver.warmup_epochs, solver.weight_decay, recipe.seed) == (5, 1e-4, 605)
        assert recipe.model.image_size == (224, 224) and not recipe.model.from_scratch
        assert tiny.model.name == f"mini_{recipe.model.name}" and tiny.model.from_scratch
        assert tiny.model.kind is recipe.model.kind

    def test_release(self) -> None:
        """SGD as in the authors' scripts."""
        solver = load_recipe("vim_s_sgd").solver

        assert (solver.optimizer, solver.momentum, solver.base_lr, solver.epochs) == ("sgd", 0.9, 2.5e-4, 60)
        assert (solver.batch, solver.weight_decay, solver.warmup_epochs) == (64, 1e-4, 5)

    def test_schedule(self) -> None:
        """Every rate of 60 epochs is the authors'."""
        solver = load_recipe("vim_s_sgd").solver
        optimizer = solver.build(nn.Linear(2, 2))
        schedule = EpochSchedule(
            optimizer, base=solver.base_lr, warmup=solver.warmup_epochs, epochs=solver.epochs, lowest=solver.lowest
        )

        rates = []
        for epoch in range(1, 61):
            schedule.apply(epoch)
            rates.append(optimizer.param_groups[0]["lr"])

        with np.load(FOLDER / "losses.npz") as golden:
            np.testing.assert_allclose(rates, golden["learning_rates"], rtol=1e-12)


class TestOptimizers:
    @staticmethod
    def step(name: str) -> float:
        """The value of a parameter after two steps from 1 with a gradient of 1."""
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        changes = [f"solver.optimizer={name}", "solver.base_lr=0.1", "solver.weight_decay=0.5"]
        optimizer = load_recipe("vim_s", changes).solver.build(model)
        for _ in range(2):
            model.weight.grad = torch.ones_like(model.weight)
            optimizer.step()
        return model.weight.item()

    def test_sgd(self) -> None:
        """Momentum 0.9, and decay added to the gradient, without a limit of its length."""
        # v = 1.5, w = 1 - 0.15; v = 0.9 * 1.5 + 1 + 0.5 * 0.85, w = 0.85 - 0.1 v
        assert self.step("sgd") == pytest.approx(0.85 - 0.1 * (1.35 + 1.425))

    def test_adam(self) -> None:
        """The first step has the length of the rate; the second is nearly that."""
        assert self.step("adam") == pytest.approx(0.8, abs=1e-3)

    def test_frozen(self) -> None:
        """Frozen parameters are left out; InputError where nothing is left."""
        model = nn.Linear(2, 2)
        model.bias.requires_grad_(False)
        solver = load_recipe("vim_s").solver

        assert solver.build(model).param_groups[0]["params"] == [model.weight]
        model.weight.requires_grad_(False)
        with pytest.raises(InputError, match="nothing to train"):
            solver.build(model)


class TestFields:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("solver.optimizer=adamw", "solver.optimizer must be one of adam, sgd, not 'adamw'"),
            ("solver.unknown=drop", "solver.unknown must be one of ignored, released"),
            ("solver.batch=1", "solver.batch must be a whole number from 2"),
            ("solver.momentum=1.5", "solver.momentum must be a number from 0 to 1"),
            ("solver.identities_per_batch=4", "no field solver.identities_per_batch"),
            ("metric=mAP", "metric must be one of mA, F1, not 'mAP'"),
            ("model.name=par_image_vim", "Did you mean 'par_image_vim_s'"),
            ("model.name=vim_s", "is no attribute model"),
            ("model.words=bert", "model.words must be one of given, hashed"),
            ("model.overrides.varaint=x", "did you mean model.overrides.variant"),
            ("model.overrides.attributes=3", "no field model.overrides.attributes"),
            ("augmentation.flip=2", "augmentation.flip must be a number from 0 to 1"),
            ("augmentation.erase=0.5", "no field augmentation.erase"),
            ("validation_images=-1", "validation_images must be a whole number from 0"),
            ("train_on_validation=true", "leaves no validation part"),
            ("seed=-1", "seed must be"),
            ("task=faces", "task must be one of re-identification, attributes"),
        ],
    )
    def test_refused(self, change: str, words: str) -> None:
        """InputError names the field and what is allowed."""
        with pytest.raises(InputError, match=words):
            load_recipe("vim_s", [change])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("model.overrides.vim.dept=3", r"no field model\.overrides\.vim\.dept; did you mean .*\.depth\?"),
            ("model.overrides.vim=3", "model.overrides.vim must be a table"),
            ("model.overrides.width.x=3", "model.overrides.width must be a value"),
            ("model.overrides.variant=mid", "variant of image_attributes must be one of released"),
            ("model.image_size=[4, 4]", "smaller than one patch"),
        ],
    )
    def test_models_that_cannot_be_built(self, change: str, words: str) -> None:
        """InputError names the field of the model."""
        settings = load_recipe("mini_vim_s", [change]).model

        with pytest.raises(InputError, match=words):
            settings.kind(settings.config(3))

    def test_towers(self) -> None:
        """Fields of a tower change, the named model's others stay."""
        settings = load_recipe("mini_vim_s", ["model.overrides.vim.drop_path=0.25", "model.image_size=[32, 48]"]).model

        config = settings.config(7)

        assert (config.vim.drop_path, config.vim.depth, config.vim.image_size) == (0.25, 8, (32, 48))
        assert (config.attributes, config.image_size) == (7, (32, 48))

    def test_padding(self) -> None:
        """Ten pixels at 224, in proportion at other sizes, or as the recipe says."""
        free, fixed = load_recipe("vim_s").augmentation, load_recipe("vim_s", ["augmentation.padding=4"]).augmentation
        assert free.settings((224, 224)).padding == 10
        assert (
            free.settings((128, 64)).padding == load_recipe("mini_vim_s").augmentation.settings((64, 64)).padding == 3
        )
        assert fixed.settings((128, 64)).padding == 4 and fixed.settings((128, 64)).erase == 0


class TestFiles:
    def test_based_on_another(self, tmp_path: Path) -> None:
        """A file names a packaged recipe, and holds only what differs."""
        path = tmp_path / "mine.toml"
        path.write_text('base = "mini_vsf_vim_s"\nname = "mine"\n[solver]\nepochs = 3\n')

        recipe = load_recipe(path)

        assert (recipe.name, recipe.solver.epochs, recipe.solver.batch) == (
            "mine",
            3,
            load_recipe("mini_vim_s").solver.batch,
        )
        assert recipe.model == load_recipe("mini_vsf_vim_s").model

    @pytest.mark.parametrize("base", ['"none"', "3", '"mine.toml"'])
    def test_no_base(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
        """InputError where the base is no packaged recipe."""
        monkeypatch.chdir(tmp_path)
        Path("mine.toml").write_text(f'base = {base}\nname = "mine"\n')

        with pytest.raises(InputError, match=r"packaged recipe|No training recipe is called"):
            load_recipe("mine.toml")

    def test_task(self, tmp_path: Path) -> None:
        """A file without a task takes the given one; another task than a recipe's own is refused."""
        path = tmp_path / "mine.toml"
        path.write_text('name = "mine"\n')

        assert isinstance(load_recipe(path, task="attributes"), AttributeRecipe)
        assert isinstance(load_recipe(path), TrainConfig)
        with pytest.raises(InputError, match="'tiny' is for re-identification, not for attributes"):
            load_recipe("tiny", task="attributes")
        with pytest.raises(InputError, match="is for attributes; this needs one for re-identification"):
            load_recipe("vim_s", kind=TrainConfig)


class TestStart:
    @staticmethod
    def refused(name: str, given: dict[str, Any], *changes: str) -> str:
        with pytest.raises(InputError) as caught:
            load_recipe(name, changes, kind=AttributeRecipe).initialiser(**given)
        return str(caught.value)

    def test_what_a_recipe_takes(self) -> None:
        """Weights of the model's towers, a teacher, words: none of the others."""
        sources = {
            name: load_recipe(name, kind=AttributeRecipe).sources
            for name in (*FULL, *HYBRIDS, "mini_vim_s", "mini_vsf_vim_s")
        }

        assert sources["vim_s"] == sources["mini_vim_s"] == ("vim", "weights")
        assert sources["vsf_vmamba_b"] == ("vmamba", "text", "weights", "vocab", "label_tokens", "label_vectors")
        assert sources["mini_vsf_vim_s"] == ("vim", "text", "weights")
        assert sources["pafusion"] == ("vim", "vit", "weights")
        assert all(sources[name] == ("vim", "teacher", "weights") for name in ("maformer", "mahdft", "kdtm", "makdf"))

    def test_missing(self) -> None:
        """InputError names the options that are needed."""
        assert "give --vim, or set model.from_scratch to true" in self.refused("vim_s", {})
        advice = "(--config {}vit_b --set metric=F1) and give its best.pth as --teacher"
        assert advice.format("") in self.refused("kdtm", {"vim": "x"})
        assert advice.format("mini_") in self.refused("mini_kdtm", {})
        assert "give --vocab or --label-tokens or --label-vectors" in self.refused(
            "vsf_vim_s", {"vim": "x", "text": "y"}
        )
        assert "give --text," in self.refused("vsf_vim_s", {"vim": "x", "vocab": "y"})
        assert "Give one." in self.refused("vsf_vim_s", {"vim": "x", "vocab": "y", "label_tokens": "z"})
        assert "--weights chooses weights in the files" in self.refused("mini_vim_s", {"weights": "ema"})
        assert "--vmamba has no effect on this model; it takes --vim, --weights." in self.refused(
            "vim_s", {"vmamba": "x"}
        )

    def test_enough(self) -> None:
        """Vectors replace the text encoder's weights; from nothing nothing is needed."""
        assert load_recipe("vsf_vim_s").initialiser(vim="x", label_vectors="y") is not None
        assert load_recipe("mini_vim_s").initialiser() is None
        load_recipe("mini_vim_s").check_start(False)
        with pytest.raises(InputError, match="starts from public weights"):
            load_recipe("vim_s").check_start(False)
