"""Parts and wiring of the attribute models: scans, variants, teachers, shapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from attribute_reference import images, recorded, state_of, token_ids
from mambapro.errors import InputError
from mambapro.plugins.selective_scan.torch_op import selective_scan
from mambapro.runtime.data.batch import Batch
from mambapro.train.models.attributes.attribute_config import AttributeConfig, VimConfig, VMambaConfig
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.attributes.vmamba import VMamba
from mambapro.train.models.model_spec import Model
from mambapro.train.models.parts import cross_scan, mamba_mixer
from mambapro.train.models.parts.cross_scan import ordered, unordered
from mambapro.train.models.registry import model_class

ATTRIBUTE_MODELS = [name for name in NAMED_MODELS if name.startswith(("mini_par", "mini_hybrid"))]


def tiny(name: str, **changes: Any) -> Model:
    named = NAMED_MODELS[f"mini_{name}"]
    model = model_class(named.kind)(replace(named.config, **changes))
    model.load_state_dict(state_of(model))
    if model.constants:
        model.set_constants(label_tokens=token_ids(10))
    return model.eval()


def pictures() -> torch.Tensor:
    return torch.from_numpy(images(64))


@contextmanager
def counted_scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Number of groups of every scan that runs inside."""
    groups: list[int] = []

    def count(*inputs: torch.Tensor) -> torch.Tensor:
        groups.append(inputs[3].shape[2])
        return selective_scan(*inputs)

    for module in (mamba_mixer, cross_scan):
        monkeypatch.setattr(module, "selective_scan", count)
    yield groups


def test_scan_is_the_public_one() -> None:
    """The operator with four groups computes the reference's scan, ungated."""
    stored = {name: x for name, x in recorded("units").items() if name.startswith("scan_")}
    units = {name.removeprefix("scan_"): torch.from_numpy(x) for name, x in stored.items()}
    B, C = (units[name].permute(0, 3, 1, 2) for name in "BC")
    u, delta = (units[name].transpose(1, 2) for name in ("u", "delta"))

    y = selective_scan(u, delta, -units["A_log"].exp(), B, C, units["D"], units["delta_bias"])

    torch.testing.assert_close(y.transpose(1, 2), units["y"], rtol=0, atol=1e-12)


def test_orders_are_the_public_ones() -> None:
    """The four sequences of a map, and the sum of four maps' ways back, are the reference's."""
    units = {name: torch.from_numpy(x) for name, x in recorded("units").items() if name.startswith(("cross", "merge"))}
    x = units["cross_in"].permute(0, 2, 3, 1)
    sequences = units["merge_in"].flatten(3).transpose(2, 3)

    scanned = torch.stack([ordered(x, direction).transpose(1, 2) for direction in range(4)], 1)
    merged = sum(unordered(sequences[:, direction], direction, (3, 4)) for direction in range(4))

    assert torch.equal(scanned, units["cross_scan"])
    torch.testing.assert_close(merged.flatten(1, 2).transpose(1, 2), units["cross_merge"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "groups"),
    [("par_image_vim_s", [2] * 8), ("par_image_vmamba_b", [4] * 5), ("par_vsf_vim_s", [2] * 8 + [1] * 4)],
)
def test_directions_share_a_scan(monkeypatch: pytest.MonkeyPatch, name: str, groups: list[int]) -> None:
    """Every layer runs one scan, whose groups are its directions."""
    model = tiny(name)

    with counted_scans(monkeypatch) as found, torch.inference_mode():
        model(pictures())

    assert found == groups


@pytest.mark.parametrize("name", ATTRIBUTE_MODELS)
def test_outputs(name: str) -> None:
    """Logits and head tokens have their shapes, training returns all outputs with gradients, eval the deployed ones."""
    model = tiny(name.removeprefix("mini_"))

    with torch.inference_mode():
        deployed, everything = model(pictures()), model.outputs(pictures())
    trained = model.train()(pictures())

    torch.testing.assert_close(deployed, everything["logits"], rtol=0, atol=1e-6)
    assert deployed.shape == (2, 10) and everything["head_tokens"].shape[:2] == (2, 10)
    assert trained.keys() == everything.keys() and trained["logits"].requires_grad
    assert bool(torch.isfinite(trained["logits"]).all())


@pytest.mark.parametrize(
    ("name", "variant"),
    [("hybrid2_n_asf", "first"), ("hybrid3_asf", "disjoint"), ("hybrid8_makdf", "mid")],
)
def test_variants(name: str, variant: str) -> None:
    """A variant of the wiring has the released one's parameters and other logits."""
    config = NAMED_MODELS[f"mini_{name}"].config
    deeper = {"vim": replace(config.vim, depth=16), "vit": replace(config.vit, depth=8)}
    released, other = tiny(name, **deeper), tiny(name, variant=variant, **deeper)

    with torch.inference_mode():
        difference = (released(pictures()) - other(pictures())).abs().max()

    assert released.state_dict().keys() == other.state_dict().keys() and difference > 1e-3


def test_disjoint_groups_are_all_layers() -> None:
    """ASF's released groups overlap and leave the last layers out; the disjoint ones are all layers once."""
    kind = model_class("asf")
    numbers = {}
    for variant in ("released", "disjoint"):
        with torch.device("meta"):
            model = kind(AttributeConfig(variant=variant))
        numbers[variant] = [n for group in range(4) for n in range(24)[model.group_layers(group)]]

    assert numbers["disjoint"] == list(range(24))
    assert numbers["released"] == [n for start in (0, 3, 6, 9) for n in range(start, start + 8)]


def test_unknown_variant() -> None:
    """A variant that a model does not have is refused with those that it has."""
    with pytest.raises(InputError, match="released, disjoint"):
        tiny("hybrid3_asf", variant="mid")


def test_pretrained_positions() -> None:
    """MaFormer's positions start as the ViT's own in the variant, and stay as they are in the release."""
    for variant, equal in (("released", False), ("pretrained", True)):
        model = tiny("hybrid4_maformer", variant=variant)

        model.initialize_copies()

        assert torch.equal(model.pos_embed_vit, model.vit.pos_embed) is equal


@pytest.mark.parametrize(("teacher", "trained"), [("frozen", False), ("released", True)])
def test_teacher(teacher: str, trained: bool) -> None:
    """A frozen teacher has no gradients and keeps its statistics; the released one trains its tokens by accident."""
    model = tiny("hybrid8_makdf", teacher=teacher)
    before = model.bn.running_mean.clone()
    model.freeze()
    model.train()

    outputs = model(pictures())
    (outputs["kd_loss"] + outputs["logits"].sum()).backward()

    assert not model.vit.blocks[0].mlp.fc1.weight.requires_grad and model.vim.head.weight.requires_grad
    assert model.vit.cls_token.requires_grad is trained
    assert torch.equal(model.bn.running_mean, before) is not trained
    assert model.vim.layers[0].mixer.A_b_log.grad.abs().max() > 0


def test_fusion_starts_from_the_text_encoder() -> None:
    """The fusion is a copy of the encoder's last two layers."""
    model = tiny("par_vsf_vim_s")

    model.initialize_fusion()

    assert torch.equal(model.VSF_mamba[1].mixer.D, model.mamba.backbone.layers[-1].mixer.D)


def test_order_of_the_labels() -> None:
    """A label's logit does not depend on the labels behind it, and does on those before it."""
    model, tokens = tiny("par_vsf_vim_s"), token_ids(10)
    changed = tokens.copy()
    changed[5, 1] += 1
    with torch.inference_mode():
        before = model(pictures())
        model.set_constants(label_tokens=changed)
        after = model(pictures())

    assert torch.equal(before[:, :5], after[:, :5]) and bool((before[:, 5:] != after[:, 5:]).any(0).all())


@pytest.mark.parametrize("size", [(64, 32), (96, 80)])
@pytest.mark.parametrize("form", ["v0", "v2"])
def test_tokens_of_other_sizes(form: str, size: tuple[int, int]) -> None:
    """The number of VMamba's tokens is known from the image size, odd maps included."""
    model = VMamba(VMambaConfig(size, form, 16, (1, 1, 1, 1), state=2, classes=3)).eval()

    assert model.features(torch.zeros(1, 3, *size)).shape == (1, model.tokens, 128)


def test_images_of_another_size() -> None:
    """Images of another size than the model's are refused."""
    with pytest.raises(ValueError, match=r"64, 64.*\(2, 3, 32, 64\)"):
        tiny("par_image_vim_s")(torch.zeros(2, 3, 32, 64))


def test_predicts_from_pixels() -> None:
    """Pixels of a batch are normalized to [-1, 1] as the reference's inputs are."""
    model, x = tiny("par_image_vim_s"), images(64)
    pixels = np.rint((x.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)

    found = model.run(Batch.of({"rgb": pixels}))["logits"]

    np.testing.assert_allclose(found, model(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-5)


def test_mixed_precision() -> None:
    """Under autocast the scans and norms stay in float32, and logits are near those without."""
    for name in ("par_image_vim_s", "par_image_vmamba_b"):
        model = tiny(name)
        with torch.inference_mode():
            exact = model(pictures())
            with torch.autocast("cpu", torch.bfloat16):
                rounded = model(pictures())

        assert 0 < (rounded.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_config_is_plain_json() -> None:
    """A config comes back from its JSON, with those of its towers, and has their image size."""
    config = AttributeConfig((96, 48), attributes=7, vim=VimConfig(depth=8), variant="released")

    again = AttributeConfig.from_json(config.to_json())

    assert again == config and again.vim.image_size == (96, 48) and again.vim.depth == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": 0}, "attributes"),
        ({"backbone": "resnet"}, "vim, vmamba, vit"),
        ({"image_size": (8, 8)}, "one patch"),
        ({"pixel_std": (0.0, 1.0, 1.0)}, "pixel_std"),
    ],
)
def test_config_out_of_range(changes: dict, message: str) -> None:
    """Sizes and choices out of range are refused by their names."""
    with pytest.raises(InputError, match=message):
        AttributeConfig(**changes)


def test_step_sizes_at_the_start() -> None:
    """A new mixer begins with step sizes from 0.001 to 0.1 and rates 1, 2, ... state."""
    mixer = mamba_mixer.MambaMixer(32, bidirectional=True)
    step = torch.nn.functional.softplus(mixer.dt_proj_b.bias)

    assert 0.00099 < step.min() < step.max() < 0.101
    torch.testing.assert_close(mixer.A_b_log[3].exp(), torch.arange(1.0, 17))
