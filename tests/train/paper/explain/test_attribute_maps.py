"""Heat maps of attributes, with values known by hand."""

from __future__ import annotations

import pytest
import torch
from mambapro.train.models.attributes.attribute_model import AttributeModel
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.registry import model_class
from mambapro.train.paper.explain.attribute_maps import attribute_maps, choose_attribute_cut
from torch import Tensor

MINIS = [name for name in NAMED_MODELS if name.startswith(("mini_par", "mini_hybrid"))]


def built(name: str) -> AttributeModel:
    """An untrained mini in evaluation mode."""
    torch.manual_seed(0)
    named = NAMED_MODELS[name]
    model = model_class(named.kind)(named.config).eval()  # type: ignore[call-arg]
    if model.constants:
        model.set_constants(label_vectors=torch.randn(10, 64))
    assert isinstance(model, AttributeModel)
    return model


def weighted(name: str, token: int, monkeypatch: pytest.MonkeyPatch) -> tuple[AttributeModel, Tensor]:
    """A mini whose tokens are 3 in every channel and whose attribute 4 reads one of them, with the factor 2 in the
    mixture and 0.5 for each of 64 channels in the head."""
    model = built(name)
    monkeypatch.setattr(model, "visual_tokens", lambda images: torch.full((len(images), model.tower.tokens, 64), 3.0))
    with torch.no_grad():
        model.conv_vis.weight.zero_()
        model.conv_vis.weight[4, token] = 2.0
        model.weight_layer[4].weight.fill_(0.5)
        model.bn.eps = 0.0
    return model, torch.zeros(2, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "token", "place"),
    # a class token in front, in the middle (row 8 of 17), and none; the last map of VMamba has 2 x 2 places
    [
        ("mini_par_image_vit_b", 6, (1, 1)),
        ("mini_par_image_vim_s", 6, (1, 2)),
        ("mini_par_image_vim_s", 9, (2, 0)),
        ("mini_par_image_vmamba_b", 3, (1, 1)),
    ],
)
def test_by_hand(name: str, token: int, place: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The one token that is read has token times gradient, 64 * 3 * 2 * 0.5, at its place; all else is 0."""
    model, images = weighted(name, token, monkeypatch)

    maps, _ = attribute_maps(model, images, [4, 0])

    assert maps[:, 0, place[0], place[1]].tolist() == [192.0, 192.0]
    assert maps.sum() == 2 * 192


@pytest.mark.parametrize(("name", "row"), [("mini_par_image_vit_b", 0), ("mini_par_image_vim_s", 8)])
def test_the_class_token_has_no_place(name: str, row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence in the class token is in no patch."""
    model, images = weighted(name, row, monkeypatch)

    assert not attribute_maps(model, images, [4])[0].any()


def test_evidence_against_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that lowers the logit is 0 in the map."""
    model, images = weighted("mini_par_image_vit_b", 6, monkeypatch)
    with torch.no_grad():
        model.conv_vis.weight.neg_()

    assert not attribute_maps(model, images, [4])[0].any()


@pytest.mark.parametrize("name", MINIS)
def test_every_model(name: str) -> None:
    """Every kind of model has maps on its grid; its mode, hooks and flags of parameters stay as they were."""
    model = built(name).train()
    model.freeze()
    flags = [parameter.requires_grad for parameter in model.parameters()]
    images = torch.randn(2, 3, 64, 64)

    maps, logits = attribute_maps(model, images, [0, 9])

    assert maps.shape == (2, 2, *((2, 2) if "vmamba" in name else (4, 4)))
    assert maps.min() >= 0 and maps.max() > 0
    assert model.training and flags == [parameter.requires_grad for parameter in model.parameters()]
    module = choose_attribute_cut(model).module
    assert not module._forward_hooks and not module._forward_pre_hooks
    with torch.no_grad():
        torch.testing.assert_close(logits, model.eval()(images))
