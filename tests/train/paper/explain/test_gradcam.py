"""Grad-CAM: the right patches, the right gradient, whatever the aggregation, and the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.paper.explain.gradcam import choose_cut, token_gradients

CAMERAS = torch.tensor([0, 1])
KINDS = ("mamba", "intra", "inter", "sum", "concat", "transformer", "ma_transformer")


def small(**fields: Any) -> MambaPro:
    """The smallest complete model: 4 x 2 patches."""
    torch.manual_seed(0)
    sizes = {"width": 64, "depth": 2, "mlp_width": 64, "adapter_width": 16, "transfer_width": 16, "embed_dim": 64}
    sizes |= {"scan_channels": 32, "image_size": (64, 32), "cameras": 2, "identities": 3}
    model = build_model("tiny", **{**sizes, **fields})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.eval()


def inputs(model: MambaPro) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (2, 3, 3, H, W) and targets (2, 3 dim) in the model's precision."""
    dtype = next(model.parameters()).dtype
    images = torch.randn(2, 3, 3, *model.config.image_size, generator=torch.Generator().manual_seed(1))
    targets = torch.randn(2, model.config.feature_dim, generator=torch.Generator().manual_seed(2))
    return images.to(dtype), targets.to(dtype)


def test_only_the_patch_that_matters_is_lit() -> None:
    """Where one patch alone carries the target's direction, the map lights that patch of that modality only."""
    model = small()
    modality, patch = 2, 5
    # the reduction passes the mean patch token through; the last scan leaves one token that is not zero
    last = model.aggregation.halves[-1]
    token = torch.randn(64, generator=torch.Generator().manual_seed(3))

    def one_token(module: object, arguments: object, output: torch.Tensor) -> torch.Tensor:
        tokens = torch.zeros_like(output)
        tokens[modality, :, patch] = token
        return tokens

    for reduction in model.aggregation.reduction.values():
        reduction.norm = torch.nn.Identity()
        torch.nn.init.zeros_(reduction.linear.bias)
        reduction.linear.weight.data = torch.cat((torch.zeros(64, 64), torch.eye(64)), 1)
    last.register_forward_hook(one_token)
    images, _ = inputs(model)

    found = token_gradients(model, images, CAMERAS, token.repeat(2, 3))
    opposite = token_gradients(model, images, CAMERAS, -token.repeat(2, 3))

    lit = torch.zeros(3, 8)
    lit[modality, patch] = 1
    maps = found.maps((4, 2))
    assert maps.shape == (2, 3, 4, 2)
    assert torch.equal((maps[0] > 0).flatten(1).float(), lit)
    assert maps[0, modality].flatten()[patch] == pytest.approx(float(token @ token) / 8, rel=1e-5)
    assert not opposite.maps((4, 2)).any()
    # the whole feature is the one modality's, so it adds everything
    assert found.parts[0].tolist() == pytest.approx([0, 0, float(token.norm())], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_grad_cam_after_every_aggregation(kind: str) -> None:
    """Behind a mean over patches the map equals the classic one: channels weighted by their mean gradient."""
    model = small(aggregation_kind=kind)
    images, targets = inputs(model)

    found = token_gradients(model, images, CAMERAS, targets)

    classic = (found.tokens * found.gradients.mean(2, keepdim=True)).sum(-1).relu().transpose(0, 1)
    assert found.tokens.shape == (3, 2, 8, 64)
    torch.testing.assert_close(found.maps((4, 2)).flatten(2), classic, rtol=1e-4, atol=1e-7)
    assert classic.any()


@pytest.mark.parametrize("fields", ({}, {"mamba": False}, {"mamba": False, "prompt": False}), ids=str)
def test_gradient_against_finite_differences(fields: dict[str, Any]) -> None:
    """The gradient is that of the score: a step along a patch token changes the score as it says."""
    model = small(**fields).double()
    images, targets = inputs(model)
    found = token_gradients(model, images, CAMERAS, targets)
    cut = choose_cut(model)
    modality, sample, patch, step = 1, 0, 3, 1e-5
    direction = torch.randn(found.tokens.shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def score(size: float) -> float:
        def move(x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            tokens = x.unflatten(0, (3, -1)) if x.dim() == 3 else x
            tokens[modality, sample, patch + (tokens.shape[2] - 8)] += size * direction
            return x

        if cut.entering:
            handle = cut.module.register_forward_pre_hook(lambda _, given: (move(given[0]), *given[1:]))
        else:
            handle = cut.module.register_forward_hook(lambda _, given, output: move(output))
        with torch.no_grad():
            value = float((model(images, CAMERAS) * targets).sum())
        handle.remove()
        return value

    measured = (score(step) - score(-step)) / (2 * step)
    assert measured == pytest.approx(float(found.gradients[modality, sample, patch] @ direction), rel=1e-5)


def test_modalities_do_not_mix_after_the_aggregation() -> None:
    """At f_ir a modality's map depends on its own part of the target only."""
    model = small()
    images, targets = inputs(model)
    alone = targets.clone()
    alone[:, 64:] = 0

    both, one = (token_gradients(model, images, CAMERAS, target) for target in (targets, alone))

    torch.testing.assert_close(both.gradients[0], one.gradients[0])
    assert not one.gradients[1:].any()


def test_parts_add_up() -> None:
    """The three parts are the scalar product of target and normalised feature."""
    model = small()
    images, targets = inputs(model)

    found = token_gradients(model, images, CAMERAS, targets)

    with torch.no_grad():
        feature = torch.nn.functional.normalize(model(images, CAMERAS))
    torch.testing.assert_close(found.parts.sum(1), (feature * targets).sum(1))


def test_caption_says_where() -> None:
    """The place is named as it is: f_ir with MA, the kind with another aggregation, the backbone without."""
    assert choose_cut(small()).text.startswith("f_ir")
    assert "share" in choose_cut(small(aggregation_kind="sum")).text
    assert "ma_transformer" in choose_cut(small(aggregation_kind="ma_transformer")).text
    assert "without MA" in choose_cut(small(mamba=False)).text


@pytest.mark.parametrize("training", (True, False))
def test_the_model_is_left_as_it_was(training: bool) -> None:
    """Mode, flags of the parameters, gradients, running statistics and hooks are as before; also after an error."""
    model = small().train(training)
    next(iter(model.backbone.parameters())).requires_grad_(False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    images, targets = inputs(model)

    token_gradients(model, images, CAMERAS, targets)
    with pytest.raises(ValueError, match="images must be"):
        token_gradients(model, images[:, :, :, :32], CAMERAS, targets)

    assert model.training is training
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
