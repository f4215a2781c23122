"""Losses of attribute recognition against the authors' values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attribute_reference import FOLDER, images, recorded, state_of
from mambapro.train.attributes.attribute_losses import (
    attribute_losses,
    label_ratios,
    label_weights,
    prior_logits,
    weighted_cross_entropy,
)
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.registry import model_class


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Logits, labels, ratios, weights and loss of the authors' code, float64."""
    with np.load(FOLDER / "losses.npz") as file:
        return dict(file)


class TestReference:
    def test_loss(self, golden: dict[str, np.ndarray]) -> None:
        """Ratios, weights and loss are the authors'."""
        labels = torch.from_numpy(golden["targets"])
        ratios = torch.from_numpy(label_ratios(golden["targets"]))

        loss = weighted_cross_entropy(torch.from_numpy(golden["logits"]), labels, ratios)

        np.testing.assert_allclose(ratios, golden["ratio"], rtol=1e-12)
        np.testing.assert_allclose(label_weights(labels, ratios), golden["weights"], rtol=1e-12)
        assert float(loss) == pytest.approx(float(golden["loss"]), rel=1e-7)

    @pytest.mark.parametrize("name", ["mini_vim", "mini_vmamba_v0"])
    def test_gradients(self, name: str) -> None:
        """The gradient of every parameter has the recorded length."""
        units = recorded("units")
        model = model_class(NAMED_MODELS[name].kind)(NAMED_MODELS[name].config)
        model.load_state_dict(state_of(model))
        model = model.eval().double()
        labels = torch.from_numpy(units[f"grad_{name}_labels"].astype(np.uint8))
        ratios = torch.linspace(0.1, 0.9, 10, dtype=torch.float64)

        loss = weighted_cross_entropy(model(torch.from_numpy(images(64)).double()), labels, ratios)
        loss.backward()

        assert float(loss.detach()) == pytest.approx(float(units[f"grad_{name}_loss"]), rel=1e-6)
        norms = {key: float(p.grad.norm()) for key, p in model.named_parameters() if p.grad is not None}
        keys, lengths = (units[f"grad_{name}_{part}"].tolist() for part in ("keys", "norms"))
        assert norms == pytest.approx(dict(zip(keys, lengths, strict=True)), rel=2e-6, abs=1e-9)


def test_the_best_answer_for_all() -> None:
    """No other logit for all images has a smaller loss; without a positive it is that of half a sample."""
    labels = np.repeat(np.uint8([[1], [0]]), [3, 17], axis=0)
    ratios = label_ratios(labels)
    best = prior_logits(ratios, 20).item()

    losses = [
        weighted_cross_entropy(torch.full((20, 1), logit), torch.from_numpy(labels), torch.from_numpy(ratios)).item()
        for logit in (best - 0.05, best, best + 0.05)
    ]

    assert losses[1] < min(losses[0], losses[2])
    # log(17 / 3) of 3 in 20, moved by the weights exp(0.85) and exp(0.15)
    assert best == pytest.approx(-math.log(17 / 3) + 0.85 - 0.15, rel=1e-6)
    assert prior_logits(np.zeros(1), 20).item() == pytest.approx(math.log(0.025 / 0.975) + 0.95, rel=1e-6)


class TestLabelsThatNobodyJudged:
    LABELS = np.array([[1, 0], [2, 0], [1, 2], [0, 1]], np.uint8)

    def test_ratios(self) -> None:
        """They count neither as positive nor as negative; as released, a two counts twice."""
        np.testing.assert_allclose(label_ratios(self.LABELS), [2 / 3, 1 / 3])
        np.testing.assert_allclose(label_ratios(self.LABELS, "released"), [4 / 4, 3 / 4])
        assert label_ratios(np.full((3, 1), 2, np.uint8)).tolist() == [0.0]

    def test_loss(self) -> None:
        """Their logits move neither the loss nor a gradient."""
        labels, ratios = torch.from_numpy(self.LABELS), torch.tensor([0.5, 0.5])
        logits = torch.zeros(4, 2, requires_grad=True)
        other = torch.where(labels == 2, 9.0, 0.0)

        loss = weighted_cross_entropy(logits, labels, ratios)
        (gradient,) = torch.autograd.grad(loss, logits)

        # six judged labels of weight exp(0.5) and logit 0, over four samples
        assert loss.item() == pytest.approx(6 * math.exp(0.5) * math.log(2) / 4)
        assert torch.equal(weighted_cross_entropy(other, labels, ratios), loss.detach())
        assert gradient[labels == 2].abs().max() == 0 < gradient[labels != 2].abs().min()

    def test_released(self) -> None:
        """As released they are targets of value 2 with the weight of a positive: softplus(x) - 2 x."""
        labels, ratios = torch.tensor([[2]], dtype=torch.uint8), torch.tensor([0.25])

        loss = weighted_cross_entropy(torch.tensor([[0.5]]), labels, ratios, "released")

        assert loss.item() == pytest.approx(math.exp(0.75) * (math.log1p(math.exp(0.5)) - 1.0))

    def test_accuracy(self) -> None:
        """A sample counts with the share of its judged labels that are right, at the threshold 0.45."""
        # sigmoid(-0.1) = 0.475 is assigned
        logits = torch.tensor([[3.0, 3.0], [-3.0, -3.0], [-0.1, 5.0], [-3.0, -3.0]])

        losses = attribute_losses({"logits": logits}, torch.from_numpy(self.LABELS), torch.tensor([0.5, 0.5]))

        assert losses.right.item() == pytest.approx(0.5 + 1 + 1 + 0.5)


def test_half_precision() -> None:
    """Logits of two bytes give a loss of float32."""
    labels, ratios = torch.tensor([[1, 0]], dtype=torch.uint8), torch.tensor([0.5, 0.5])

    loss = weighted_cross_entropy(torch.zeros(1, 2, dtype=torch.bfloat16), labels, ratios)

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2 * math.exp(0.5) * math.log(2))


def test_distillation() -> None:
    """With a teacher the loss is the cross entropy of both and the distillation loss."""
    labels, ratios = torch.tensor([[1, 0]], dtype=torch.uint8), torch.tensor([0.5, 0.5])
    outputs = {"logits_vit": torch.zeros(1, 2), "logits_vim": torch.tensor([[2.0, -2.0]]), "kd_loss": torch.tensor(4.0)}

    losses = attribute_losses({**outputs, "logits": outputs["logits_vim"]}, labels, ratios)

    parts = {name: value.item() for name, value in losses.parts.items()}
    assert parts == pytest.approx(
        {
            "cross_entropy_teacher": 2 * math.exp(0.5) * math.log(2),
            "cross_entropy_student": 2 * math.exp(0.5) * math.log1p(math.exp(-2)),
            "distillation": 4.0,
        }
    )
    assert losses.total.item() == pytest.approx(sum(parts.values()))
    assert losses.right.item() == 1
