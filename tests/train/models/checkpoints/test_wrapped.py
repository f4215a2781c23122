"""Checkpoints as trainers leave them: what stands around the weights is taken off, or a choice is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mambapro.errors import ArtifactError, InputError
from mambapro.train.models.checkpoints.clip import load_clip
from mambapro.train.models.checkpoints.imagenet import load_vit, timm_pairs
from mambapro.train.models.checkpoints.names import clip_pairs
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro.sizes import build_model

SIZE = (64, 32)
State = dict[str, Any]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """An untrained tiny model."""
    torch.manual_seed(0)
    return build_model("tiny", image_size=SIZE, cameras=3, identities=7)


@pytest.fixture
def authors(model: torch.nn.Module, tmp_path: Path) -> State:
    """Its state dict in the authors' layout."""
    save_checkpoint(model, tmp_path / "authors.pth", layout="authors")
    return torch.load(tmp_path / "authors.pth", weights_only=True)


@pytest.fixture
def optimizer() -> State:
    """The state of an optimiser that has made a step, as trainers save it beside the weights."""
    linear = torch.nn.Linear(3, 4)
    found = torch.optim.Adam(linear.parameters())
    linear(torch.randn(5, 3)).sum().backward()
    found.step()
    return found.state_dict()


def prefixed(state: State, prefix: str) -> State:
    """A state dict with something in front of every key."""
    return {f"{prefix}{key}": value for key, value in state.items()}


def moved(state: State) -> State:
    """Other values of the same shapes."""
    return {key: value + 1 for key, value in state.items()}


WRAPPINGS: dict[str, Callable[[State, State], tuple[State, str]]] = {
    "state_dict": lambda s, o: ({"state_dict": s, "epoch": 3, "optimizer": o}, "left out: epoch, optimizer"),
    "model": lambda s, o: ({"model": s, "optimizer": o, "best": 0.5}, "the weights under 'model' were taken"),
    "another_name": lambda s, o: ({"generator": s}, "'generator'"),
    "two_levels": lambda s, o: ({"checkpoint": {"net": s}}, "'checkpoint.net'"),
    "six_levels": lambda s, o: ({"a": {"b": {"c": {"d": {"e": {"f": s}}}}}}, "'a.b.c.d.e.f'"),
    "compiled": lambda s, o: (prefixed(s, "_orig_mod."), "_orig_mod in the names"),
    "compiled_part": lambda s, o: (
        {k.replace("BACKBONE.", "BACKBONE._orig_mod."): v for k, v in s.items()},
        "_orig_mod",
    ),
    "two_gpus_twice": lambda s, o: (prefixed(s, "module.module."), "module in the names"),
    "compiled_on_gpus": lambda s, o: ({"model": prefixed(s, "_orig_mod.module.")}, "_orig_mod, module in"),
    "attribute": lambda s, o: (prefixed(s, "model."), "'model.' in front of the keys"),
    "lightning": lambda s, o: (
        {"state_dict": {**prefixed(s, "model.net."), "criterion.centers": torch.zeros(2)}, "lr_schedulers": [{"a": 1}]},
        "keys that are not the model's were left out: criterion.centers",
    ),
    "averaged": lambda s, o: ({"n_averaged": torch.tensor(4), **prefixed(s, "module.")}, "left out: n_averaged"),
    "only_ema": lambda s, o: ({"ema": prefixed(s, "module."), "updates": 5}, "'ema'"),
    "numbers_among": lambda s, o: ({**s, "epoch": 3}, ""),
    "twice_the_same": lambda s, o: ({"model": s, "state_dict": s}, "'model'"),
}


class TestUnambiguous:
    @pytest.mark.parametrize("name", WRAPPINGS)
    def test_is_unwrapped_and_told(
        self,
        name: str,
        model: torch.nn.Module,
        authors: State,
        optimizer: State,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The model's own weights come out, bit for bit, and the log says what was taken off."""
        content, words = WRAPPINGS[name](authors, optimizer)
        torch.save(content, tmp_path / "wrapped.pth")

        loaded = load_checkpoint(tmp_path / "wrapped.pth", SIZE)

        assert_equal(loaded, model)
        assert words in caplog.text

    def test_our_own_names(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """A state dict of our model that a foreign trainer saved, which has no header, is read off its shapes."""
        torch.save({"model": prefixed(model.state_dict(), "_orig_mod.")}, tmp_path / "ours.pth")

        assert_equal(load_checkpoint(tmp_path / "ours.pth", SIZE), model)

    def test_towers(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Weights of CLIP and of a ViT are unwrapped the same way."""
        clip, vit = (build_model(size, image_size=(64, 64)) for size in ("tiny", "tiny_imagenet"))
        names = {ours: theirs for theirs, ours in clip_pairs(clip.config)}
        tower = {names[key]: value for key, value in clip.state_dict().items() if key in names}
        names = {ours: theirs for theirs, ours in timm_pairs(vit.config.depth)}
        plain = {names[key]: value for key, value in vit.state_dict().items() if key in names}
        plain["pos_embed"], plain["cls_token"] = plain["pos_embed"][None], plain["cls_token"][None, None]
        torch.save({"state_dict": prefixed(tower, "module."), "epoch": 1}, tmp_path / "clip.pt")
        torch.save({"model": plain, "args": None}, tmp_path / "vit.pth")

        for kind, load, name in ((clip, load_clip, "clip.pt"), (vit, load_vit, "vit.pth")):
            other = build_model("tiny" if kind is clip else "tiny_imagenet", image_size=(64, 64))
            load(other, str(tmp_path / name))
            assert torch.equal(other.backbone.layers[0].mlp.inner.weight, kind.backbone.layers[0].mlp.inner.weight)
        assert "'state_dict'" in caplog.text and "'model'" in caplog.text


class TestAmbiguous:
    @pytest.mark.parametrize(
        ("wrap", "names"),
        (
            (lambda s, e: {"model": s, "ema": e}, ("model", "ema")),
            (lambda s, e: {"state_dict": s, "state_dict_ema": e}, ("state_dict", "state_dict_ema")),
            (lambda s, e: {"model": s, "model_ema": {"module": e}}, ("model", "model_ema.module")),
            (lambda s, e: {**prefixed(s, "online_model."), **prefixed(e, "ema_model.")}, ("online_model", "ema_model")),
            (
                lambda s, e: {"state_dict": {**prefixed(s, "student."), **prefixed(e, "teacher.")}},
                ("state_dict.student", "state_dict.teacher"),
            ),
        ),
    )
    def test_a_choice_is_asked_for(
        self,
        wrap: Callable[[State, State], State],
        names: tuple[str, str],
        model: torch.nn.Module,
        authors: State,
        tmp_path: Path,
    ) -> None:
        """Two sets of weights are an error that names both and the option; either can be taken by its name."""
        torch.save(wrap(authors, moved(authors)), tmp_path / "two.pth")

        with pytest.raises(ArtifactError, match=r"2 sets of weights.*--weights NAME") as caught:
            load_checkpoint(tmp_path / "two.pth", SIZE)
        with pytest.raises(InputError, match=names[1]):
            load_checkpoint(tmp_path / "two.pth", SIZE, weights="mean")

        assert all(name in str(caught.value) for name in names)
        assert_equal(load_checkpoint(tmp_path / "two.pth", SIZE, weights=names[0]), model)
        ema = load_checkpoint(tmp_path / "two.pth", SIZE, weights=names[1])
        assert torch.equal(ema.backbone.projection, model.backbone.projection + 1)

    def test_a_choice_where_there_is_none(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """A name for a file of ours, which holds one set, is an error."""
        save_checkpoint(model, tmp_path / "ours.pth")

        with pytest.raises(InputError, match="one set of weights"):
            load_checkpoint(tmp_path / "ours.pth", weights="ema")


class TestIncomplete:
    def test_without_classifiers(
        self, model: torch.nn.Module, authors: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A checkpoint made smaller for use loads with the same features, says so, and is saved as small again."""
        small = {key: value for key, value in authors.items() if "classifier" not in key and "bottleneck" not in key}
        torch.save(small, tmp_path / "small.pth")
        images = torch.randn(2, 3, 3, *SIZE)

        loaded = load_checkpoint(tmp_path / "small.pth", SIZE)
        save_checkpoint(loaded, tmp_path / "again.safetensors")
        again = load_checkpoint(tmp_path / "again.safetensors")

        assert loaded.headless and again.headless and not model.headless
        assert "has no classifiers" in caplog.text
        for one in (loaded, again):
            assert torch.equal(one(images), load_full(authors, tmp_path)(images))

    def test_one_classifier_of_three(self, authors: State, tmp_path: Path) -> None:
        """Where some classifiers are there, one that is missing is a damaged file."""
        del authors["classifier_fuse.weight"]
        torch.save(authors, tmp_path / "two_thirds.pth")

        with pytest.raises(ArtifactError, match=r"missing: classifier_fuse\.weight"):
            load_checkpoint(tmp_path / "two_thirds.pth", SIZE)

    def test_without_counters(
        self, model: torch.nn.Module, authors: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Counters of BatchNorm, which old files have not, are 0, and that is told."""
        torch.save({k: v for k, v in authors.items() if "num_batches" not in k}, tmp_path / "old.pth")

        loaded = load_checkpoint(tmp_path / "old.pth", SIZE)

        assert_equal(loaded, model)
        assert "num_batches_tracked" in caplog.text

    @pytest.mark.parametrize("value", (float("nan"), float("inf"), -float("inf")))
    @pytest.mark.parametrize("name", ("a.pth", "a.safetensors"))
    def test_values_that_are_no_numbers(self, name: str, value: float, model: torch.nn.Module, tmp_path: Path) -> None:
        """NaN and infinity are an error at once that names the tensors."""
        save_checkpoint(model, tmp_path / "good.pth")
        bad = load_checkpoint(tmp_path / "good.pth")
        with torch.no_grad():
            bad.backbone.ln_post.weight[3] = value
            bad.fused_head.norm.running_var[0] = value
        save_checkpoint(bad, tmp_path / name)

        with pytest.raises(
            ArtifactError, match=r"in 2 of \d+ tensors: .*ln_post\.weight, fused_head\.norm\.running_var"
        ):
            load_checkpoint(tmp_path / name)

    def test_large_numbers_are_numbers(self, authors: State, tmp_path: Path) -> None:
        """Values whose sum overflows float32 are finite all the same; those beyond float32 are not."""
        key = "BACKBONE.base.proj"
        authors[key] = torch.full_like(authors[key], 3e38)
        torch.save(authors, tmp_path / "large.pth")
        authors[key] = torch.full_like(authors[key], 1e300, dtype=torch.float64)
        torch.save(authors, tmp_path / "larger.pth")

        assert load_checkpoint(tmp_path / "large.pth", SIZE).backbone.projection.max() > 1e38
        with pytest.raises(ArtifactError, match="beyond float32"):
            load_checkpoint(tmp_path / "larger.pth", SIZE)


def load_full(authors: State, folder: Path) -> torch.nn.Module:
    """The whole model."""
    torch.save(authors, folder / "full.pth")
    return load_checkpoint(folder / "full.pth", SIZE)


def assert_equal(a: torch.nn.Module, b: torch.nn.Module) -> None:
    """Two models hold the same values."""
    other = b.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in a.state_dict().items())
