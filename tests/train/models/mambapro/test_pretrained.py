"""A new model's backbone from a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.pretrained import initialiser, load_tower
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.mambapro.spec import is_pretrained

SMALL = {"width": 64, "depth": 2, "embed_dim": 32, "scan_channels": 32, "aggregation_depth": 1}


def model(seed: int, **fields: object) -> MambaPro:
    torch.manual_seed(seed)
    return build_model("tiny", **{"image_size": (32, 16), "cameras": 4, "identities": 5, **SMALL, **fields})


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A checkpoint of seven identities and two cameras."""
    path = tmp_path / "tower.pth"
    save_checkpoint(model(1, identities=7, cameras=2, prompt=False), path)
    return path


class TestLoadTower:
    def test_copies_the_tower_and_nothing_else(self, tower: Path) -> None:
        """What `freeze_pretrained` freezes comes from the checkpoint; all else stays, whatever its shape there."""
        new, before, source = model(2), model(2).state_dict(), model(1, identities=7, cameras=2).state_dict()

        count = load_tower(new, tower)

        after = new.state_dict()
        names = {name for name, _ in new.named_parameters()}
        copied = {name for name in names if is_pretrained(name)}
        assert copied and names - copied
        assert all(torch.equal(after[name], source[name]) for name in copied)
        assert all(torch.equal(after[name], before[name]) for name in after.keys() - copied)
        assert count == sum(after[name].numel() for name in copied)

    def test_one_of_several_sets_of_weights(self, tmp_path: Path) -> None:
        """Of a file with weights and their average the one that is named is taken; a name needs a file."""
        first, average = (model(seed).state_dict() for seed in (3, 4))
        torch.save({"model": first, "ema": average}, tmp_path / "both.pth")
        new = model(2)

        fill = initialiser(backbone=tmp_path / "both.pth", weights="ema")
        assert fill is not None
        fill(new)

        assert torch.equal(new.state_dict()["backbone.projection"], average["backbone.projection"])
        with pytest.raises(InputError, match="--weights chooses weights in the checkpoint"):
            initialiser(clip="x", weights="ema")

    @pytest.mark.parametrize(
        ("fields", "said"),
        (
            ({"depth": 1}, "depth 2 (the model: 1)"),
            ({"image_size": (16, 32)}, "image_size (32, 16) (the model: (16, 32))"),
            ({"mlp_width": 64}, "mlp_width 256 (the model: 64)"),
        ),
    )
    def test_another_size(self, tower: Path, fields: dict, said: str) -> None:
        """A tower of another size, or turned images of as many patches, raises InputError and copies nothing."""
        new = model(2, **fields)
        before = {name: value.clone() for name, value in new.state_dict().items()}

        with pytest.raises(InputError) as caught:
            load_tower(new, tower)

        assert said in str(caught.value)
        assert all(torch.equal(value, before[name]) for name, value in new.state_dict().items())


class TestInitialiser:
    def test_nothing(self) -> None:
        """Without a source there is nothing to call."""
        assert initialiser() is None

    def test_two_sources(self, tower: Path) -> None:
        """Two sources raise InputError."""
        with pytest.raises(InputError, match="one place"):
            initialiser("ViT-B-16-quickgelu/openai", tower)

    def test_checkpoint(self, tower: Path) -> None:
        """A checkpoint's tower is copied when the model comes."""
        new, fill = model(2), initialiser(backbone=tower)

        assert fill is not None
        fill(new)

        assert torch.equal(new.backbone.projection, model(1, identities=7, cameras=2).backbone.projection)
