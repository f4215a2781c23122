"""CLIP's weights in our backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import ArtifactError, InputError
from mambapro.train.models.checkpoints.clip import load_clip, resize_positions
from mambapro.train.models.checkpoints.names import key_pairs
from mambapro.train.models.mambapro.sizes import build_model
from reference_model import FOLDER, weight


@pytest.fixture
def model() -> torch.nn.Module:
    """A tiny model."""
    return build_model("tiny", image_size=(64, 32), cameras=2, identities=3)


def clip_state(model: torch.nn.Module, side: int = 6) -> dict[str, torch.Tensor]:
    """Weights in OpenAI's key layout that fit the tiny model, with positions of a square grid."""
    state = {
        theirs.replace("BACKBONE.base.", "visual."): torch.randn_like(model.state_dict()[ours])
        for theirs, ours in key_pairs(model.config)
        if theirs.startswith("BACKBONE.base.") and "adapter" not in theirs
    }
    return {**state, "visual.positional_embedding": torch.randn(1 + side * side, model.config.width)}


@pytest.mark.parametrize("grid", ((16, 8), (8, 16)))
def test_positions_are_resized_as_the_reference(grid: tuple[int, int]) -> None:
    """CLIP's 14x14 positions on the paper's grids, within 1e-6."""
    source = torch.from_numpy(weight("clip/visual.positional_embedding", (197, 768)))

    resized = resize_positions(source, grid).numpy()[:, ::24]

    with np.load(FOLDER / "posembed.npz") as golden:
        np.testing.assert_allclose(resized, golden[f"grid_{grid[0]}x{grid[1]}"], rtol=0, atol=1e-6)


def test_the_tower_is_filled_and_the_rest_stays(model: torch.nn.Module, tmp_path: Path) -> None:
    """A local file fills every tensor of the tower; adapters, prompts and heads keep their values."""
    weights = clip_state(model)
    torch.save(weights, tmp_path / "clip.pth")
    before = {key: value.clone() for key, value in model.state_dict().items()}

    load_clip(model, str(tmp_path / "clip.pth"))

    after = model.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    tower = {ours for theirs, ours in key_pairs(model.config) if theirs.startswith("BACKBONE.base.")}
    assert changed == {ours for ours in tower if ".adapter." not in ours and ".prompt." not in ours}
    key = "layers.1.attention.in_proj.weight"
    assert torch.equal(after[f"backbone.{key}"], weights["visual.transformer.resblocks.1.attn.in_proj_weight"])


def test_open_clip_has_the_keys() -> None:
    """open_clip's ViT-B/16 names and shapes its visual tower as the file layout does."""
    open_clip = pytest.importorskip("open_clip")
    with torch.device("meta"):
        ours = build_model("vit_b16", image_size=(224, 224), cameras=1, identities=1)
    theirs = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).state_dict()

    wanted = {key: value.shape for key, value in clip_state(ours, side=14).items()}

    assert {key: theirs[key].shape for key in wanted} == wanted


def test_a_missing_key_is_named(model: torch.nn.Module, tmp_path: Path) -> None:
    """ArtifactError names the tensor that is missing."""
    weights = clip_state(model)
    del weights["visual.ln_post.bias"]
    torch.save(weights, tmp_path / "clip.pth")

    with pytest.raises(ArtifactError, match=r"visual\.ln_post\.bias"):
        load_clip(model, str(tmp_path / "clip.pth"))


def test_another_architecture_is_refused(model: torch.nn.Module, tmp_path: Path) -> None:
    """ArtifactError with both shapes."""
    weights = {**clip_state(model), "visual.proj": torch.zeros(5, 5)}
    torch.save(weights, tmp_path / "clip.pth")

    with pytest.raises(ArtifactError, match=r"\(5, 5\)"):
        load_clip(model, str(tmp_path / "clip.pth"))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_torchscript_archive_needs_the_flag(model: torch.nn.Module, tmp_path: Path) -> None:
    """A TorchScript archive is refused, since reading it runs code, unless that is allowed."""
    path = tmp_path / "archive.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))

    with pytest.raises(ArtifactError, match="--clip-torchscript"):
        load_clip(model, str(path))
    with pytest.raises(ArtifactError, match="OpenAI's layout"):
        load_clip(model, str(path), allow_torchscript=True)


def test_an_unknown_name_is_refused(model: torch.nn.Module) -> None:
    """InputError for what is neither a file nor a model of open_clip."""
    with pytest.raises(InputError, match="neither a file"):
        load_clip(model, "ViT-Z-99/nobody")
