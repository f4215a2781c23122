"""Freezing, optimizer groups and the schedule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.engine.optimizer import (
    EpochSchedule,
    build_optimizer,
    freeze_pretrained,
    learning_rate,
)
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.mambapro.spec import is_pretrained
from torch import nn

SCHEDULES = json.loads((Path(__file__).parents[2] / "golden" / "schedule.json").read_text(encoding="utf-8"))

PRETRAINED = (
    "backbone.embedding.class_token",
    "backbone.layers.3.attention.out_proj.bias",
    "backbone.projection",
    "backbone.embedding.frozen_cameras",
    "backbone.layers.3.attention.out_proj.weight",
)
OWN = (
    "backbone.embedding.cameras",
    "backbone.layers.3.adapter.outer.bias",
    "backbone.layers.3.attention.out_proj.adapter.down.weight",
    "backbone.layers.3.prompt.tokens.nir",
    "backbone.head.classifier.weight",
    "aggregation.blocks.0.inter.scans.all.ahead.A_log",
    "fused_head.norm.weight",
)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """The smallest complete model."""
    return build_model("tiny", image_size=(32, 16), cameras=2, identities=3, width=64, depth=2)


def group_sizes(model: nn.Module) -> dict[float, int]:
    """Values per base rate."""
    groups = build_optimizer(model.named_parameters(), is_pretrained, base=3.5e-4).param_groups
    return {group["base_lr"]: sum(value.numel() for value in group["params"]) for group in groups}


class TestPretrained:
    @pytest.mark.parametrize("name", PRETRAINED)
    def test_clip(self, name: str) -> None:
        """Embeddings, blocks and projection of CLIP are pretrained, biases too."""
        assert is_pretrained(name)

    @pytest.mark.parametrize("name", OWN)
    def test_own(self, name: str) -> None:
        """Camera table, PFA, SRP, heads and aggregation are not."""
        assert not is_pretrained(name)

    def test_freeze(self, model: nn.Module) -> None:
        """After freezing, exactly the pretrained parameters and the BNNeck biases take no gradient."""
        frozen = freeze_pretrained(model)

        names = [name for name, value in model.named_parameters() if not value.requires_grad]
        necks = [name for name in names if name.endswith("head.norm.bias")]
        assert set(names) - set(necks) == {name for name, _ in model.named_parameters() if is_pretrained(name)}
        assert len(necks) == 3
        assert frozen == sum(value.numel() for name, value in model.named_parameters() if is_pretrained(name))
        model.requires_grad_(True)

    @pytest.mark.full
    def test_published_counts(self) -> None:
        """Frozen or not, every group of the paper's model has as many values as in the published training."""
        with torch.device("meta"):
            big = build_model("vit_b16", image_size=(256, 128), cameras=4, identities=171)

        own = {3.5e-4: 74_665_984, 7e-4: 128_512}
        assert group_sizes(big) == {**own, 5e-6: 86_140_416}
        assert freeze_pretrained(big) == 86_140_416
        assert group_sizes(big) == own


class TestGroups:
    def test_rates(self) -> None:
        """Biases get twice the rate, pretrained tensors their own, biases included."""
        parameters = {name: nn.Parameter(torch.zeros(1)) for name in (*PRETRAINED, *OWN)}

        groups = build_optimizer(parameters.items(), is_pretrained, base=3.5e-4, bias_factor=2.0).param_groups

        rates = {id(value): group["base_lr"] for group in groups for value in group["params"]}
        assert {rates[id(parameters[name])] for name in PRETRAINED} == {5e-6}
        assert {rates[id(parameters[name])] for name in OWN} == {3.5e-4, 7e-4}
        assert rates[id(parameters["backbone.layers.3.adapter.outer.bias"])] == 7e-4

    def test_every_parameter_once(self, model: nn.Module) -> None:
        """Each parameter that takes a gradient is in one group; weight decay is the same for all."""
        optimizer = build_optimizer(model.named_parameters(), is_pretrained, base=1e-3)

        members = [id(value) for group in optimizer.param_groups for value in group["params"]]
        assert sorted(members) == sorted(id(value) for value in model.parameters() if value.requires_grad)
        assert {group["base_lr"] for group in optimizer.param_groups} == {1e-3, 2e-3, 5e-6}
        assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-4}

    def test_step_is_adam_with_l2(self) -> None:
        """A step is Adam's with the decay added to the gradient."""
        value = nn.Parameter(torch.tensor([2.0]))
        optimizer = build_optimizer([("weight", value)], is_pretrained, base=0.1, weight_decay=0.5)
        # The gradient 1 - 0.5 * 2 vanishes with L2; decoupled decay would move the value.
        value.grad = torch.tensor([-1.0])

        optimizer.step()

        assert value.item() == pytest.approx(2.0, abs=1e-6)

    def test_nothing_to_train(self) -> None:
        """A wholly frozen model raises InputError."""
        with pytest.raises(InputError, match="nothing to train"):
            build_optimizer([("weight", nn.Parameter(torch.zeros(1), requires_grad=False))], is_pretrained, base=1e-3)


class TestSchedule:
    @pytest.mark.parametrize("dataset", SCHEDULES)
    def test_golden(self, dataset: str) -> None:
        """Every epoch of every group has the published training's rate."""
        golden = SCHEDULES[dataset]
        for group, rates in golden["lr"].items():
            ours = [
                learning_rate(epoch, 3.5e-4, float(group), golden["warmup_epochs"], golden["max_epochs"])
                for epoch in range(1, golden["max_epochs"] + 1)
            ]
            assert ours == pytest.approx(rates, rel=1e-9, abs=0), group

    @pytest.mark.parametrize("dataset", SCHEDULES)
    def test_before_first_step(self, dataset: str) -> None:
        """A new schedule puts the groups where the published training has them before its first epoch."""
        golden = SCHEDULES[dataset]
        names = ["weight", "bias", "backbone.projection"]
        optimizer = build_optimizer(
            [(name, nn.Parameter(torch.zeros(1))) for name in names], is_pretrained, base=3.5e-4
        )

        EpochSchedule(optimizer, base=3.5e-4, warmup=golden["warmup_epochs"], epochs=golden["max_epochs"])

        rates = {f"{group['base_lr']:g}": group["lr"] for group in optimizer.param_groups}
        expected = {f"{float(group):g}": rate for group, rate in golden["lr_before_first_step"].items()}
        assert rates == pytest.approx(expected, rel=1e-9, abs=0)

    def test_apply(self) -> None:
        """Applying an epoch sets each group's rate, whichever epoch was applied before."""
        optimizer = build_optimizer(
            [("w", nn.Parameter(torch.zeros(1))), ("bias", nn.Parameter(torch.zeros(1)))], is_pretrained, base=1.0
        )
        schedule = EpochSchedule(optimizer, base=1.0, warmup=2, epochs=10)

        schedule.apply(7)
        schedule.apply(1)

        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01 + 0.99 / 2, 0.01 + 1.99 / 2])

    def test_no_warmup(self) -> None:
        """Without warm-up the first epoch is on the cosine."""
        assert learning_rate(0, 1.0, 1.0, 0, 4) == 1.0
        assert learning_rate(2, 1.0, 1.0, 0, 4) == pytest.approx(0.001 + 0.999 / 2)

    @pytest.mark.parametrize("epoch", [-1, 11])
    def test_outside(self, epoch: int) -> None:
        """An epoch outside the training raises InputError."""
        with pytest.raises(InputError, match="10 epochs"):
            learning_rate(epoch, 1.0, 1.0, 2, 10)
