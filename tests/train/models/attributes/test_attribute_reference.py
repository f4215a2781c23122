"""Attribute models and their towers against the public code's outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from attribute_reference import (
    checksum,
    facts,
    images,
    label_vectors,
    recorded,
    state_of,
    thinned,
    token_ids,
    weight,
)
from mambapro.train.models.attributes.attribute_model import AttributeModel
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.attributes.vmamba import VMamba
from mambapro.train.models.model_spec import Model
from mambapro.train.models.registry import model_class

FACTS = facts()
MINIS = ("mini_vim", "mini_vmamba_v0", "mini_vmamba_s2")
FULL = (
    "par_image_vim_s",
    "par_image_vmamba_b",
    "par_image_vit_b",
    "par_vsf_vim_s",
    "par_vsf_vim_s_fixedtext",
    "par_textconv_vim_s",
    "hybrid1_pafusion",
    "hybrid2_n_asf",
    "hybrid3_asf",
    "hybrid4_maformer",
    "hybrid5_mahdft",
    "hybrid6_adamtf",
    "hybrid7_kdtm",
    "hybrid8_makdf",
)
#: Largest difference in float64: the outputs are stored in float32.
EXACT = {"hybrid6_adamtf": 2e-5}


@pytest.fixture(scope="module")
def drawn() -> Iterator[dict]:
    """Tensors by name and shape, shared by all models."""
    cache: dict = {}
    yield cache
    cache.clear()


def empty(name: str) -> Model:
    """The named model without memory for its tensors."""
    named = NAMED_MODELS[name]
    with torch.device("meta"):
        return model_class(named.kind)(named.config)


def reference(name: str, cache: dict | None = None) -> Model:
    """The named model with the reference's weights, in eval mode."""
    model = empty(name)
    model.load_state_dict(state_of(model, cache), assign=True)
    if "fixedtext" in name:
        model.set_constants(label_vectors=label_vectors(26, 768))
    elif model.constants:
        model.set_constants(label_tokens=token_ids(26))
    return model.eval()


def outputs(model: Model, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Outputs by the reference's names, among them what the modules of a tower return."""
    values = {}

    def record(name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda _module, _inputs, output: values.update({name: output}))

    if isinstance(model, VMamba):
        record("patch_embed", model.patch_embed)
        for number, stage in enumerate(model.layers):
            record(f"stage{number}", stage)
        record("features", model.layers[-1])
    elif not isinstance(model, AttributeModel):
        record("features", model.norm_f)
    with torch.inference_mode():
        results = model.outputs(x) if isinstance(model, AttributeModel) else {"logits": model(x)}
    first = isinstance(model, VMamba) and model.config.form == "v2"
    maps = {name: value.permute(0, 3, 1, 2) if first else value for name, value in values.items()}
    return {name: value.numpy() for name, value in {**maps, **results}.items()}


@pytest.mark.parametrize("name", FACTS["manifests"])
def test_keys_are_the_public_ones(name: str) -> None:
    """A model's tensors have the names, shapes and types of the public files: none is missing, none too many."""
    assert checksum(empty(name)) == FACTS["manifests"][name]


@pytest.mark.parametrize("name", MINIS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_towers(name: str, kind: torch.dtype) -> None:
    """Every recorded stage of the tiny towers agrees with the reference."""
    model = reference(name).to(kind)

    found = outputs(model, torch.from_numpy(images(64)).to(kind))

    for key, wanted in recorded(name).items():
        limit = 5 * FACTS["tolerances"][f"{name}/{key}"] if kind == torch.float32 else 2e-6
        np.testing.assert_allclose(found[key], wanted, rtol=0, atol=limit, err_msg=key)


@pytest.mark.full
@pytest.mark.parametrize("name", [*FULL, "vmamba_b_s2l15"])
def test_full_models(name: str, drawn: dict) -> None:
    """Full-size models agree with the reference within five times the reference's own float32 error."""
    model, wanted = reference(name, drawn), recorded(name)

    found = outputs(model, torch.from_numpy(images(224)))

    for key, values in wanted.items():
        stored = thinned(found[key], channels_first=name == "vmamba_b_s2l15")
        limit = 5 * FACTS["tolerances"][f"{name}/{key}"]
        np.testing.assert_allclose(stored, values, rtol=0, atol=limit, err_msg=key)


@pytest.mark.parametrize("name", ["mini_vim", "mini_vmamba_v0"])
def test_gradients(name: str) -> None:
    """The gradient of every parameter has the reference's length: weighted BCE of the paper, float64."""
    units = recorded("units")
    model = reference(name).double().requires_grad_(True)
    labels = torch.from_numpy(units[f"grad_{name}_labels"])
    ratio = torch.linspace(0.1, 0.9, 10, dtype=torch.float64)
    weights = torch.where(labels == 1, (1 - ratio).exp(), ratio.exp())

    logits = model(torch.from_numpy(images(64)).double())
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, weights, reduction="none")
    loss = losses.sum(1).mean()
    loss.backward()

    np.testing.assert_allclose(float(loss.detach()), units[f"grad_{name}_loss"], rtol=1e-6)
    norms = {key: float(p.grad.norm()) for key, p in model.named_parameters() if p.grad is not None}
    wanted = dict(zip(units[f"grad_{name}_keys"].tolist(), units[f"grad_{name}_norms"].tolist(), strict=True))
    assert norms == pytest.approx(wanted, rel=2e-6, abs=1e-9)


def test_recipe_of_the_weights() -> None:
    """Drawn tensors are those that the reference ran with."""
    found = weight("vim.layers.0.mixer.in_proj.weight", (1536, 384))[0, :4]
    bias = weight("vim.layers.0.mixer.dt_proj.bias", (768,))[:4]
    rates = weight("vmamba.layers.0.blocks.0.op.A_logs", (1024, 16))[0, :4]

    np.testing.assert_array_equal(found, np.float32([-0.0232196543, -0.0082831252, -0.0426694453, 0.0505056195]))
    np.testing.assert_allclose(bias, [-5.3562980, -3.6216435, -5.8623028, -4.8854790], rtol=1e-7)
    np.testing.assert_allclose(rates, [-0.0748526752, 0.6345691085, 1.0582073927, 1.3897728920], rtol=1e-7)
