"""Deployment of attribute models: what runs for the logits, constants that are folded, roles of the modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribute_reference import images, state_of, token_ids
from mambapro.train.models.attributes.attribute_model import AttributeModel
from mambapro.train.models.attributes.deployment import Deployment, deployment_of
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.registry import model_class

SCAN = "mambapro.SelectiveScan"


def deployment(name: str) -> Deployment:
    named = NAMED_MODELS[name]
    return deployment_of(model_class(named.kind), named.config)


def tiny(name: str) -> AttributeModel:
    named = NAMED_MODELS[f"mini_{name}"]
    model = model_class(named.kind)(named.config)
    model.load_state_dict(state_of(model))
    if model.constants:
        model.set_constants(label_tokens=token_ids(10))
    return model.eval()


def pixels() -> np.ndarray:
    return np.rint((images(64).transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "scans"),
    [
        ("par_image_vim_s", 24),
        ("par_image_vmamba_b", 33),
        ("par_image_vit_b", 0),
        ("par_vsf_vim_s", 24 + 2),
        ("hybrid3_asf", 4 * 8),
        ("hybrid4_maformer", 11),
        ("hybrid5_mahdft", 4),
        ("hybrid7_kdtm", 24),
        ("hybrid8_makdf", 22),
    ],
)
def test_scans_of_full_models(name: str, scans: int) -> None:
    """Each deployed Vim layer, 2D scan and fusion layer is one scan."""
    assert deployment(name).operators[SCAN] == scans


@pytest.mark.parametrize("name", ["hybrid7_kdtm", "hybrid8_makdf"])
def test_teachers_do_not_run(name: str) -> None:
    """Of a model with a teacher the network for export holds Vim and its head alone."""
    network = tiny(name).inference()

    names = {key.split(".")[0] for key, _ in network.named_parameters()}

    assert not any(called.startswith("vit") for called in deployment(name).calls)
    assert not names & {"vit", "conv_vis", "weight_layer", "vim_mid"} and "vim" in names


@pytest.mark.parametrize("name", ["par_vsf_vim_s", "par_textconv_vim_s", "par_image_vmamba_b", "hybrid5_mahdft"])
def test_folded_network(name: str) -> None:
    """Heads, BatchNorm, scan constants and text are folded without a change of the logits; the model stays as it is."""
    model = tiny(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}

    network = model.inference()
    with torch.inference_mode():
        logits, probabilities, *stages = network(torch.from_numpy(pixels()))
        expected = model.logits(model.normalized(pixels()))

    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(probabilities, 1 / (1 + torch.exp(-expected)), rtol=0, atol=1e-6)
    assert len(stages) == len(model.spec.stages) > 3
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in network.modules())
    assert not hasattr(network, "mamba") or network.mamba is None
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_batch_norm_of_a_head() -> None:
    """The folded weight is w / sqrt(variance + epsilon) * gain, the bias follows."""
    model = tiny("par_image_vit_b")
    with torch.no_grad():
        linear, norm = model.weight_layer[3], model.bn
        linear.weight.fill_(2.0)
        linear.bias.fill_(1.0)
        for values, value in ((norm.running_mean, 0.5), (norm.running_var, 4.0), (norm.weight, 3.0), (norm.bias, 7.0)):
            values[3] = value

    heads = model.inference().weight_layer

    torch.testing.assert_close(heads.weight[3, 0].item(), 3.0, rtol=1e-5, atol=0)
    torch.testing.assert_close(heads.bias[3].item(), 7.0 + (1.0 - 0.5) * 1.5, rtol=1e-5, atol=0)


def test_roles() -> None:
    """Norms and heads stay float32; step sizes and token mixtures never compute in int8, projections may."""
    roles = deployment("par_vsf_vim_s").roles

    assert {"vim.layers.23.norm", "vim.norm_f", "norm", "weight_layer"} <= set(roles.float32)
    assert roles.parts == {"vim": ("vim",), "fusion": ("VSF_mamba",)}
    assert roles.stays_float("vim.layers.3.mixer") and not roles.stays_float("vim.layers.3.mixer.in_proj")
    assert deployment("par_image_vmamba_b").roles.stays_float("vmamba.layers.2.blocks.3.op")
    assert deployment("par_image_vim_s").roles.stays_float("conv_vis")
    assert "exchange" in deployment("hybrid1_pafusion").roles.parts
