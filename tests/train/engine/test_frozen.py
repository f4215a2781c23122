"""Frozen weights converted once: the same bits as under plain autocast, and a model that does not notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mambapro.train.engine.device import autocast
from mambapro.train.engine.frozen import TrainingForward, convertible, prepare_training
from mambapro.train.engine.optimizer import build_optimizer, freeze_pretrained
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.reid.losses import pair_losses
from torch import Tensor, nn

CPU = torch.device("cpu")
SMALL = {"width": 64, "depth": 2, "embed_dim": 32, "scan_channels": 32, "aggregation_depth": 1}


def small_model(**fields: Any) -> MambaPro:
    torch.manual_seed(0)
    model = build_model("tiny", image_size=(32, 16), cameras=2, identities=3, **SMALL, **fields)
    freeze_pretrained(model)
    return model.train()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels, cameras of six samples."""
    images = torch.randn(6, 3, 3, 32, 16, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(6) // 2, torch.arange(6) % 2


def train(model: MambaPro, forward: Any, steps: int) -> list[float]:
    """Loss of each step."""
    images, labels, cameras = batch()
    optimizer = build_optimizer(model.named_parameters(), model.spec.pretrained, base=1e-2)
    losses = []
    for _ in range(steps):
        with autocast("bfloat16", CPU):
            outputs = forward(images, cameras)
        loss = pair_losses(outputs, labels).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("fields", [{}, {"prompt": False, "adapter": False}, {"sie_camera": False}, {"direct": False}])
def test_training_has_the_same_bits(fields: dict[str, Any]) -> None:
    """Losses and weights after some steps are those of plain autocast, bit for bit."""
    plain, ours = small_model(**fields), small_model(**fields)

    wanted = train(plain, plain, 3)
    found = train(ours, prepare_training(ours, "bfloat16", CPU), 3)

    assert found == wanted
    assert wanted[0] != wanted[-1]
    state = ours.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())


def test_the_model_keeps_its_weights() -> None:
    """Between forward and backward pass, too, parameters are the same objects, in float32, with the same values."""
    model = small_model()
    before = {name: (value, value.detach().clone()) for name, value in model.named_parameters()}
    forward = prepare_training(model, "bfloat16", CPU)
    images, _, cameras = batch()

    with autocast("bfloat16", CPU):
        outputs = forward(images, cameras)

    after = dict(model.named_parameters())
    assert all(after[name] is value and value.dtype == torch.float32 for name, (value, _) in before.items())
    assert all(torch.equal(value, copy) for value, copy in before.values())
    # the backward pass works outside: the graph holds the copies
    sum(score.sum() for score, _ in outputs).backward()


def test_float32_is_left_alone() -> None:
    """In float32 there is nothing to convert: the network itself comes back."""
    model = small_model()

    assert prepare_training(model, "float32", CPU) is model


def test_loaded_weights_are_noticed() -> None:
    """After a checkpoint was loaded into the model, the copies are those of the new weights."""
    model, other = small_model(), small_model()
    with torch.no_grad():
        for value in other.parameters():
            value += 0.05
    forward = prepare_training(model, "bfloat16", CPU)
    train(model, forward, 1)

    model.load_state_dict(other.state_dict())

    assert train(model, forward, 1) == train(other, other, 1)


def test_what_is_converted() -> None:
    """CLIP's matrices with their biases, the patch convolution and the projection; never a norm or a trained one."""
    model = small_model()

    names = set(convertible(model))

    assert {"backbone.projection", "backbone.embedding.patches.weight"} <= names
    assert {"backbone.layers.0.attention.in_proj.bias", "backbone.layers.1.mlp.outer.weight"} <= names
    assert not [name for name in names if "ln_" in name or "adapter" in name or "prompt" in name]
    assert not [name for name in names if not name.startswith("backbone.")]
    assert len(names) == 2 + 2 * 8


def test_nothing_frozen() -> None:
    """A model that is trained as a whole has nothing to convert, and still trains."""
    model = small_model().requires_grad_(True)

    assert convertible(model) == {}
    assert train(model, TrainingForward(model, torch.bfloat16), 2)[0] > 0


def test_wrapped_network() -> None:
    """The names that DistributedDataParallel gives ("module." in front) are understood."""
    model = small_model()
    wrapped = nn.ModuleDict({"module": model})

    assert set(convertible(wrapped)) == {f"module.{name}" for name in convertible(model)}
