"""Losses of a training head: smoothed cross entropy on the score, batch-hard triplet loss on the feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError

#: Lower bound of squared distances before the root, whose gradient at zero is infinite.
_SMALLEST_SQUARE = 1e-12


class HeadLoss(NamedTuple):
    """Unweighted losses of one (score, feature) pair; scalars."""

    cross_entropy: Tensor
    triplet: Tensor


class PairLosses(NamedTuple):
    """Weighted losses: `total` is the sum to differentiate; `heads` are its parts, in the order of the outputs."""

    total: Tensor
    heads: tuple[HeadLoss, ...]


def euclidean_distances(features: Tensor) -> Tensor:
    """Compute distances within a batch from features (B, D); the diagonal is exactly 1e-6.

    The diagonal is set rather than computed: rounding errors would be amplified by the gradient of the root.

    Returns:
        float32 (B, B).
    """
    squares = features.square().sum(dim=1)
    squared = squares[:, None] + squares[None, :] - 2 * features @ features.T
    diagonal = torch.eye(len(features), dtype=torch.bool, device=features.device)
    return squared.masked_fill(diagonal, 0.0).clamp(min=_SMALLEST_SQUARE).sqrt()


def hardest_distances(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return each anchor's distance to its farthest positive (itself included) and nearest negative.

    Features (B, D) are used as they are, not normalized. Identities may occur any number of times.

    Returns:
        two tensors (B,).

    Raises:
        InputError: all labels are the same, so that there is no negative.
    """
    if bool((labels == labels[0]).all()):
        raise InputError(
            f"All {len(labels)} samples of the batch are of one identity; the triplet loss needs at least two."
        )
    distances = euclidean_distances(features)
    same = labels[:, None] == labels[None, :]
    positive = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    return positive, negative


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float | None = None) -> Tensor:
    """Compute the batch-hard triplet loss (https://arxiv.org/abs/1703.07737); features (B, D), labels int64 (B,).

    Without `margin` the soft margin log(1 + exp(positive - negative)), else the hinge of positive - negative + margin.

    Returns:
        scalar.

    Raises:
        InputError: the batch holds one identity only.
    """
    positive, negative = hardest_distances(features, labels)
    gap = positive - negative
    return (F.softplus(gap) if margin is None else F.relu(gap + margin)).mean()


def smoothed_cross_entropy(scores: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """Compute cross entropy with label smoothing (https://arxiv.org/abs/1512.00567).

    The target is `1 - smoothing` on the label plus `smoothing` spread over all K classes.

    Returns:
        scalar.
    """
    return F.cross_entropy(scores, labels, label_smoothing=smoothing)


def no_gather(x: Tensor) -> Tensor:
    """Return a tensor unchanged: a training in one process has nothing to gather."""
    return x


def pair_losses(
    outputs: Sequence[tuple[Tensor, Tensor]],
    labels: Tensor,
    *,
    gather: Callable[[Tensor], Tensor] = no_gather,
    id_weight: float = 0.25,
    triplet_weight: float = 1.0,
    smoothing: float = 0.1,
    margin: float | None = None,
) -> PairLosses:
    """Sum `id_weight * CE + triplet_weight * triplet` over the (score (B, identities), feature (B, dim)) pairs.

    Computed in float32 or wider regardless of the autocast: squared distances overflow half precision. `gather`
    concatenates the features and labels of all processes for triplet mining; cross entropy uses those of this process.

    Raises:
        InputError: no pair, a label outside the scores, or one identity only.
    """
    if not outputs:
        raise InputError("No (score, feature) pair to compute a loss from; is the model in training mode?")
    classes = outputs[0][0].shape[1]
    if bool((labels < 0).any() | (labels >= classes).any()):
        raise InputError(
            f"Labels run from {int(labels.min())} to {int(labels.max())}, the classifier knows 0 to {classes - 1}. "
            "Build the model for the number of identities in the training set."
        )
    with torch.autocast(labels.device.type, enabled=False):
        all_labels = gather(labels)
        heads = tuple(
            HeadLoss(
                smoothed_cross_entropy(_wide(scores), labels, smoothing),
                batch_hard_triplet(gather(_wide(features)), all_labels, margin),
            )
            for scores, features in outputs
        )
        total = torch.stack([id_weight * head.cross_entropy + triplet_weight * head.triplet for head in heads]).sum()
    return PairLosses(total, heads)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
