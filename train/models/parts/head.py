"""Identity head for training: BNNeck (https://arxiv.org/abs/1903.07071) and classifier."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class TrainingOutput(NamedTuple):
    """Inputs of one head's losses: scores (B, identities) and the feature before BNNeck (B, dim)."""

    score: Tensor
    feature: Tensor


class Head(nn.Module):
    """BatchNorm neck with a frozen bias, then a classifier without bias (BNNeck)."""

    def __init__(self, dim: int, identities: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, identities, bias=False)

    def forward(self, feature: Tensor) -> TrainingOutput:
        """Compute the scores of a feature (B, dim). Returns the scores, and the feature itself."""
        return TrainingOutput(self.classifier(self.norm(feature)), feature)
