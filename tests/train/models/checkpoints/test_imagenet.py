"""The ViT of ImageNet in CLIP's place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mambapro.errors import ArtifactError, InputError
from mambapro.train.models.checkpoints.clip import load_clip
from mambapro.train.models.checkpoints.imagenet import TIMM, load_vit, timm_pairs
from mambapro.train.models.checkpoints.weights import save_checkpoint
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.pretrained import load_tower
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.mambapro.spec import is_pretrained
from mambapro.train.models.parts.vit import DropPath

timm = pytest.importorskip("timm")


def build(**fields: object) -> MambaPro:
    """A tiny model in eval mode for square images, whose patch grid is that of `theirs`."""
    torch.manual_seed(0)
    return build_model("tiny_imagenet", image_size=(64, 64), cameras=3, identities=4, **fields).eval()


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    """timm's ViT of the same sizes, every parameter moved."""
    torch.manual_seed(1)
    made = timm.models.VisionTransformer(img_size=64, embed_dim=128, depth=4, num_heads=2, mlp_ratio=2, num_classes=7)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture
def file(theirs: torch.nn.Module, tmp_path: Path) -> Path:
    """Its weights in a file."""
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    return tmp_path / "vit.pth"


def test_tokens_are_timms(theirs: torch.nn.Module, file: Path) -> None:
    """Without adapters, prompts and cameras every token of every stream is the one timm computes."""
    model = build(prompt=False, adapter=False, sie_camera=False)
    images = torch.randn(3, 2, 3, 64, 64)

    load_vit(model, str(file))

    with torch.no_grad():
        found = model.backbone(images, torch.zeros(2, dtype=torch.int64))
        wanted = torch.stack([theirs.forward_features(stream) for stream in images])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_own_parts_stay(file: Path) -> None:
    """Loading fills the tower and nothing else; the camera table, though frozen, is our own."""
    model = build(adapter_kind="lora", lora_rank=8)
    before = {name: value.clone() for name, value in model.named_parameters()}

    load_vit(model, str(file))

    changed = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
    assert changed == {name for name in before if is_pretrained(name)} - {"backbone.embedding.frozen_cameras"}
    assert "backbone.layers.0.attention.out_proj.adapter.down.weight" in set(before) - changed


def test_a_tower_of_other_cameras(tmp_path: Path) -> None:
    """A ViT's tower comes from a checkpoint with another number of cameras; CLIP's model refuses it."""
    source = build()
    save_checkpoint(source, tmp_path / "vit.pth")
    model = build_model("tiny_imagenet", image_size=(64, 64), cameras=5, identities=4)
    cameras = model.backbone.embedding.frozen_cameras.clone()

    load_tower(model, tmp_path / "vit.pth")

    assert torch.equal(model.backbone.layers[2].mlp.inner.weight, source.backbone.layers[2].mlp.inner.weight)
    assert torch.equal(model.backbone.embedding.frozen_cameras, cameras)
    with pytest.raises(InputError, match=r"backbone vit \(the model: clip\)"):
        load_tower(build_model("tiny", image_size=(64, 64)), tmp_path / "vit.pth")


def test_the_camera_is_on_every_token() -> None:
    """The camera embedding moves class token and patches alike, by sie_coe times its row."""
    embedding = build(sie_coe=3.0).backbone.embedding
    images = torch.randn(3, 2, 3, 64, 64)
    rows = embedding.frozen_cameras

    moved = embedding(images, torch.tensor([1, 1])) - embedding(images, torch.tensor([2, 2]))

    torch.testing.assert_close(moved, (3 * (rows[1] - rows[2])).expand_as(moved), atol=1e-5, rtol=1e-5)


def test_prompts_reach_the_image() -> None:
    """Another prompt gives another feature, of the same sample and not of a stranger in the batch."""
    model, images = build(), torch.randn(2, 3, 3, 64, 64)
    with torch.no_grad():
        before = model(images)
        model.backbone.layers[1].prompt.tokens["nir"] += torch.randn(4, 128)
        after, alone = model(images), model(images[:1])

    assert (before - after).abs().max() > 1e-3
    torch.testing.assert_close(alone, after[:1], atol=1e-5, rtol=1e-4)


def test_stochastic_depth() -> None:
    """Rates rise linearly to 0.1; in training whole streams are dropped, and the mean stays; else nothing happens."""
    assert [layer.drop_path.rate for layer in build().backbone.layers] == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)

    y = drop.train()(x)

    assert y.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert all(len(stream.unique()) == 1 for stream in y[:50])
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x


def test_vit_b16_has_timms_keys() -> None:
    """timm's ViT-B/16 has the tensors we read, of our shapes, and its classifier besides."""
    with torch.device("meta"):
        ours = build_model("vit_b16_imagenet", image_size=(224, 224)).state_dict()
        state = timm.create_model(TIMM).state_dict()
    pairs = dict(timm_pairs(12))

    assert TIMM in timm.list_pretrained()
    assert {key for key in state if key not in pairs} == {"head.weight", "head.bias"}
    assert {ours[name].numel() - state[key].numel() for key, name in pairs.items()} == {0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"norm.bias": None}, r"norm\.bias is missing"),
        ({"blocks.9.ls1.gamma": torch.ones(1)}, r"blocks\.9\.ls1\.gamma"),
        ({"blocks.1.mlp.fc1.bias": torch.ones(5)}, r"\(5,\)"),
        ({"pos_embed": torch.ones(1, 12, 128)}, "square grid"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_weights_are_refused(change: dict, told: str, theirs: torch.nn.Module, tmp_path: Path) -> None:
    """ArtifactError for a key missing, surplus or misshapen; the model keeps what it had."""
    model = build()
    before = model.backbone.layers[0].mlp.inner.weight.clone()
    state = {key: value for key, value in {**theirs.state_dict(), **change}.items() if value is not None}
    torch.save(state, tmp_path / "vit.pth")

    with pytest.raises(ArtifactError, match=told):
        load_vit(model, str(tmp_path / "vit.pth"))
    assert torch.equal(model.backbone.layers[0].mlp.inner.weight, before)


def test_towers_are_not_mixed_up(file: Path) -> None:
    """InputError for CLIP's weights in a ViT, a ViT's in CLIP's place, and names nobody knows."""
    with pytest.raises(InputError, match="load_vit"):
        load_clip(build(), str(file))
    with pytest.raises(InputError, match="load_clip"):
        load_vit(build_model("tiny"), str(file))
    with pytest.raises(InputError, match="neither a file"):
        load_vit(build(), "vit_of_nobody")
