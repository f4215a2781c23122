"""Losses against hand-computed values and against the published model's numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.reid.losses import (
    batch_hard_triplet,
    euclidean_distances,
    hardest_distances,
    pair_losses,
    smoothed_cross_entropy,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "train_heads.npz"
HEADS = {"direct0": ("rgb", "nir", "tir", "fused"), "direct1": ("concat", "fused")}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Training outputs of the published model's five heads. The concatenated feature is the three modalities'."""
    with np.load(GOLDEN) as file:
        arrays = dict(file)
    arrays["feature_concat"] = np.concatenate([arrays[f"feature_{name}"] for name in ("rgb", "nir", "tir")], axis=1)
    return arrays


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


class TestTriplet:
    # Points on a line: identity 0 at 0 and 3, identity 1 at 1 and 7.
    features = torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0], [7.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])

    def test_hardest(self) -> None:
        """The hardest positive is the farthest of the identity, the hardest negative the nearest of the others."""
        positive, negative = hardest_distances(self.features, self.labels)

        torch.testing.assert_close(positive, torch.tensor([3.0, 3.0, 6.0, 6.0]))
        torch.testing.assert_close(negative, torch.tensor([1.0, 2.0, 1.0, 4.0]))

    def test_soft_margin(self) -> None:
        """Without a margin the loss is the mean of log(1 + exp(positive - negative))."""
        loss = batch_hard_triplet(self.features, self.labels)

        assert float(loss) == pytest.approx(sum(map(softplus, (2.0, 1.0, 5.0, 2.0))) / 4, rel=1e-6)

    def test_margin(self) -> None:
        """With a margin the loss is the mean hinge."""
        loss = batch_hard_triplet(self.features, torch.tensor([0, 1, 0, 1]), margin=3.5)

        # positives 1, 4, 1, 4; negatives 3, 2, 2, 6
        assert float(loss) == pytest.approx((1.5 + 5.5 + 2.5 + 1.5) / 4, rel=1e-6)

    def test_unequal_counts(self) -> None:
        """Identities may occur unequally often; one that occurs once is its own hardest positive."""
        positive, negative = hardest_distances(self.features, torch.tensor([0, 0, 0, 1]))

        torch.testing.assert_close(positive, torch.tensor([3.0, 3.0, 2.0, 1e-6]))
        torch.testing.assert_close(negative, torch.tensor([7.0, 4.0, 6.0, 4.0]))

    def test_equal_features_have_finite_gradient(self) -> None:
        """Collapsed features, all distances zero, give no NaN."""
        features = torch.ones(4, 8, requires_grad=True)

        batch_hard_triplet(features, self.labels).backward()

        assert torch.isfinite(features.grad).all()

    def test_gradient(self) -> None:
        """The gradient agrees with finite differences in float64."""
        features = torch.randn(
            6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
        )

        assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, torch.tensor([0, 0, 1, 1, 2, 2])), features)

    def test_diagonal(self) -> None:
        """A feature is 1e-6 away from itself however large it is."""
        distances = euclidean_distances(1e3 * torch.randn(5, 64, generator=torch.Generator().manual_seed(1)))

        torch.testing.assert_close(distances.diagonal(), torch.full((5,), 1e-6), rtol=1e-5, atol=0.0)

    def test_one_identity(self) -> None:
        """A batch of one identity raises InputError."""
        with pytest.raises(InputError, match="at least two"):
            batch_hard_triplet(self.features, torch.zeros(4, dtype=torch.int64))


def test_smoothed_cross_entropy() -> None:
    """The label has weight 0.9 + 0.1/K, every other class 0.1/K."""
    scores = torch.tensor([[2.0, 0.0, -1.0, 0.5]])
    logs = [math.log(math.exp(score) / sum(map(math.exp, scores[0].tolist()))) for score in scores[0].tolist()]

    loss = smoothed_cross_entropy(scores, torch.tensor([1]), 0.1)

    assert float(loss) == pytest.approx(-(0.9 * logs[1] + 0.025 * sum(logs)), rel=1e-6)


class TestPairs:
    @pytest.mark.parametrize("direct", HEADS)
    def test_golden(self, golden: dict[str, np.ndarray], direct: str) -> None:
        """Total and every head's losses and hardest distances are those of the published training step."""
        labels = torch.from_numpy(golden["labels"])
        outputs = [
            (torch.from_numpy(golden[f"score_{head}"]), torch.from_numpy(golden[f"feature_{head}"]))
            for head in HEADS[direct]
        ]

        losses = pair_losses(outputs, labels)

        assert float(losses.total) == pytest.approx(float(golden[f"total_{direct}"]), abs=1e-4)
        for head, (_, feature), loss in zip(HEADS[direct], outputs, losses.heads, strict=True):
            positive, negative = hardest_distances(feature, labels)
            assert float(loss.cross_entropy) == pytest.approx(float(golden[f"ce_{head}"]), abs=1e-5), head
            assert float(loss.triplet) == pytest.approx(float(golden[f"triplet_{head}"]), abs=2e-5), head
            np.testing.assert_allclose(positive.numpy(), golden[f"hardest_positive_{head}"], atol=5e-5)
            np.testing.assert_allclose(negative.numpy(), golden[f"hardest_negative_{head}"], atol=5e-5)

    def test_weights(self, golden: dict[str, np.ndarray]) -> None:
        """The total is the weighted sum of the parts."""
        outputs = [(torch.from_numpy(golden["score_rgb"]), torch.from_numpy(golden["feature_rgb"]))] * 2

        total, heads = pair_losses(outputs, torch.from_numpy(golden["labels"]), id_weight=2.0, triplet_weight=0.5)

        assert float(total) == pytest.approx(2 * (2.0 * float(heads[0].cross_entropy) + 0.5 * float(heads[0].triplet)))

    def test_smoothing_and_margin_reach_every_head(self, golden: dict[str, np.ndarray]) -> None:
        """Each head's parts are those of the single losses with the given smoothing and margin, not the defaults."""
        labels = torch.from_numpy(golden["labels"])
        outputs = [
            (torch.from_numpy(golden[f"score_{h}"]), torch.from_numpy(golden[f"feature_{h}"])) for h in ("rgb", "tir")
        ]

        losses = pair_losses(outputs, labels, smoothing=0.3, margin=5.0)

        for (scores, features), head in zip(outputs, losses.heads, strict=True):
            logs = scores.log_softmax(1)
            own = logs[torch.arange(len(labels)), labels]
            positive, negative = hardest_distances(features, labels)
            assert float(head.cross_entropy) == pytest.approx(float(-(0.7 * own + 0.3 * logs.mean(1)).mean()), rel=1e-5)
            assert float(head.triplet) == pytest.approx(
                float((positive - negative + 5.0).clamp(min=0).mean()), rel=1e-5
            )

    def test_half_precision_under_autocast(self) -> None:
        """Half-precision outputs are compared in float32, also inside autocast: a distance of 1000 is exact."""
        features = torch.zeros(4, 64)
        features[1] = features[3] = 125.0
        outputs = [(torch.zeros(4, 3).bfloat16(), features.bfloat16())]

        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = pair_losses(outputs, torch.tensor([0, 0, 1, 1]))

        assert losses.total.dtype == torch.float32
        assert float(losses.heads[0].triplet) == pytest.approx(1000.0)

    def test_no_pair(self) -> None:
        """No output raises InputError."""
        with pytest.raises(InputError, match="training mode"):
            pair_losses([], torch.tensor([0, 1]))

    @pytest.mark.parametrize("label", [-1, 3])
    def test_label_outside(self, label: int) -> None:
        """A label that the classifier does not know raises InputError and names the range."""
        with pytest.raises(InputError, match="0 to 2"):
            pair_losses([(torch.zeros(2, 3), torch.zeros(2, 4))], torch.tensor([0, label]))
