"""The identity head used in training: BNNeck and classifier."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class TrainingOutput(NamedTuple):
    """What the losses of one head read: scores (B, identities) and the feature before BNNeck (B, dim)."""

    score: Tensor
    feature: Tensor


class Head(nn.Module):
    """BatchNorm neck whose bias is frozen, then a classifier without bias (BNNeck, Luo et al. 2019)."""

    def __init__(self, dim: int, identities: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, identities, bias=False)

    def forward(self, feature: Tensor) -> TrainingOutput:
        """Feature (B, dim) -> its scores, and the feature itself."""
        return TrainingOutput(self.classifier(self.norm(feature)), feature)
