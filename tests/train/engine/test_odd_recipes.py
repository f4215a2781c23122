"""Recipes of others: what costs memory, time or a traceback is refused by its field, before anything is built."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import odd_recipes
import pytest
from mambapro.common.formats.size_limits import VARIABLE
from mambapro.errors import InputError, SetupError
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.engine.training_config import Solver, TrainConfig
from mambapro.train.models.mambapro import sizes
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.mambapro.sizes import build_model, config_of_size
from mambapro.train.reid import training_memory as memory
from mambapro.train.reid.training_memory import require_memory


def refused(source: object, changes: tuple[str, ...] = ()) -> str:
    """What is said of a recipe; its model is not built."""
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        recipe = load_recipe(source, changes)
        config_of_size(recipe.model.size, image_size=recipe.model.image_size, **recipe.model.overrides)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 1500
    assert time.monotonic() - started < 10
    return text


#: Fields that are wrong in the texts that are TOML; the others name their file.
FIELDS = dict.fromkeys(odd_recipes.TEXTS, "no field") | {"dates": "name", "empty": "name", "infinity": "base_lr"}
FIELDS["keys_of_escapes"] = r"\x1b[2J"


class TestOddRecipes:
    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("name", odd_recipes.CHANGES)
    def test_changes(self, name: str) -> None:
        """Every odd --set is an InputError, short, printable and at once."""
        assert refused("tiny", (odd_recipes.CHANGES[name],))

    @pytest.mark.timeout(120)
    def test_files(self, tmp_path: Path) -> None:
        """Every odd file is, and names itself or the field."""
        for path in odd_recipes.write_all(tmp_path):
            text = refused(path)
            fields = {**FIELDS, **odd_recipes.CHANGES}[path.stem.removeprefix("field_")].split("=")[0]
            assert path.name in text or fields.split(".")[-1] in text, text

    @pytest.mark.parametrize(
        ("change", "words"),
        (
            ("solver.images_per_identity=100000", "solver.images_per_identity must be a whole number from 1 to 1024"),
            ("model.overrides.depth=1000", "depth must be a whole number from 1 to 100, not 1000"),
            ("model.image_size=[100000, 100000]", "model.image_size must be a whole number from 1 to 4096, not 100000"),
            ("solver.base_lr=nan", "solver.base_lr must be a number from 0 to 100, not nan"),
            ("augmentation.flip=7", "augmentation.flip must be a number from 0 to 1"),
            ("model.overrides.prompt=no", "prompt must be true or false, not 'no'"),
            ("workers=100000", "workers must be a whole number from 0 to 256"),
            (f"solver.epochs={'9' * 5000}", "a line has 5,008 characters"),
            ("solver.epochs=1", "--set solver.warmup_epochs=0"),
        ),
    )
    def test_the_range_is_told(self, change: str, words: str) -> None:
        """The message names field, range and value, and for a warm-up that is too long the remedy."""
        assert words in refused("tiny", (change,))

    @pytest.mark.timeout(10)
    def test_only_regular_files(self, tmp_path: Path) -> None:
        """A FIFO, a folder and a device are no recipes; a name with NUL is none either."""
        os.mkfifo(tmp_path / "a.toml")

        for source, word in (
            (tmp_path / "a.toml", "FIFO"),
            (tmp_path, "folder"),
            ("/dev/zero", "device"),
            ("a\0", "No"),
        ):
            assert word in refused(source)

    def test_published_numbers_are_in_range(self) -> None:
        """One epoch without warm-up, the largest batch and the largest seed are allowed."""
        changes = ("solver.epochs=1", "solver.warmup_epochs=0", "seed=9223372036854775807", "solver.margin=0")

        assert load_recipe("rgbnt201", changes).solver.epochs == 1


class TestMemory:
    def test_a_batch_that_cannot_fit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SetupError with what it takes and what there is; the published batch is within 24 GiB, one of twenty not."""
        config = MambaProConfig()
        monkeypatch.setattr(memory, "free_memory", lambda: 24 * 2**30)
        require_memory(config, TrainConfig("test"))

        with pytest.raises(
            SetupError, match=r"batches of 1280 samples of 256x128 .* 24\.0 GiB are available.*solver\.id"
        ):
            require_memory(config, TrainConfig("test", solver=Solver(images_per_identity=80)))

    def test_the_bound_is_near_what_a_step_takes(self) -> None:
        """A step of training takes the bound at least, and at most twice as much."""
        code = """
import torch
from mambapro.train.engine.training_config import TrainConfig
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid.training_memory import least_bytes

def peak():
    fields = dict(line.split(":") for line in open("/proc/self/status"))
    return int(fields["VmHWM"].split()[0]) * 1024

model = build_model("tiny", image_size=(256, 128), cameras=4, identities=9).train()
def step(images):
    optimizer = torch.optim.Adam(model.parameters())
    outputs = model(torch.zeros(images, 3, 3, 256, 128), torch.zeros(images, dtype=torch.int64))
    sum(output.score.sum() + output.feature.sum() for output in outputs).backward()
    optimizer.step()
step(2)
before = peak()
step(32)
print((peak() - before) / least_bytes(model.config, 32, frozen=False))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert 0.8 < float(done.stdout) < 2, done.stderr

    def test_a_model_that_is_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model is counted before it is built; the option allows a larger one, free memory does not."""
        tiny = {"image_size": (64, 32), "cameras": 4, "identities": 5}
        monkeypatch.setattr(sizes, "_LARGEST", 10**6)
        with pytest.raises(InputError, match=rf"parameters.*at most .*{VARIABLE}"):
            build_model("tiny", **tiny)

        monkeypatch.setenv(VARIABLE, "1")
        assert build_model("tiny", **tiny).config.image_size == (64, 32)
        monkeypatch.setattr(sizes, "free_memory", lambda: 10**6)
        with pytest.raises(SetupError, match="are available"):
            build_model("tiny", **tiny)
