"""Weighted binary cross entropy of attributes, and distillation from a teacher (https://arxiv.org/abs/2407.10374)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.bundle.labels import ATTRIBUTE_THRESHOLD
from ...runtime.data.attributes.label_rows import NOT_JUDGED
from ..engine.task import StepLosses

#: Treatment of labels that nobody judged: left out, or as in the authors' code, where they are targets of value 2.
IGNORED, RELEASED = UNKNOWN_LABELS = ("ignored", "released")
#: Distillation loss of a model's outputs, and the logits that have a loss of their own beside it.
_DISTILLATION = "kd_loss"
_TAUGHT = {"teacher": "logits_vit", "student": "logits_vim"}
_LIMIT = math.log(ATTRIBUTE_THRESHOLD / (1 - ATTRIBUTE_THRESHOLD))


def label_ratios(labels: npt.NDArray[np.uint8], unknown: str = IGNORED) -> npt.NDArray[np.float64]:
    """Compute the share of positives of each attribute.

    Args:
        labels: (N, attributes), 0, 1 or 2 = not judged.
        unknown: one of UNKNOWN_LABELS; "released" sums the twos as well.

    Returns:
        float64 (attributes,); 0 where nothing is judged.
    """
    if unknown == RELEASED:
        return labels.mean(axis=0, dtype=np.float64)
    judged = (labels != NOT_JUDGED).sum(axis=0)
    positive = (labels == 1).sum(axis=0)
    return np.divide(positive, judged, out=np.zeros(len(judged)), where=judged > 0)


def prior_logits(ratios: npt.NDArray[np.float64], samples: int) -> npt.NDArray[np.float32]:
    """Compute the logit of each attribute that has the least weighted loss if it is the same for all images.

    Args:
        ratios: (attributes,), see `label_ratios`.
        samples: number of samples that they are of; a ratio of 0 counts as half a sample.

    Returns:
        float32 (attributes,).
    """
    least = 0.5 / samples
    share = np.clip(ratios, least, 1 - least)
    logits = np.log(share / (1 - share)) + 1 - 2 * share
    return logits.astype(np.float32)


def label_weights(labels: Tensor, ratios: Tensor, unknown: str = IGNORED) -> Tensor:
    """Compute the weight of each label: exp(1 - ratio) of a positive, exp(ratio) of a negative.

    Args:
        labels: (B, attributes), 0, 1 or 2 = not judged.
        ratios: (attributes,), see `label_ratios`; decides the type.
        unknown: one of UNKNOWN_LABELS; "released" weights a two as a positive.

    Returns:
        (B, attributes); 0 for a label that is left out.
    """
    weights = torch.where(labels > 0, torch.exp(1 - ratios), torch.exp(ratios))
    return weights if unknown == RELEASED else weights.masked_fill(labels == NOT_JUDGED, 0.0)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, ratios: Tensor, unknown: str = IGNORED) -> Tensor:
    """Compute binary cross entropy, weighted by label, summed over the attributes, averaged over the samples.

    Args:
        logits: (B, attributes).
        labels: (B, attributes), 0, 1 or 2 = not judged.
        ratios: (attributes,), see `label_ratios`.
        unknown: one of UNKNOWN_LABELS.

    Returns:
        scalar, float32 or wider.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    ratios = ratios.to(logits.dtype)
    targets = labels.to(logits.dtype)
    if unknown != RELEASED:
        targets = targets.masked_fill(labels == NOT_JUDGED, 0.0)
    weights = label_weights(labels, ratios, unknown)
    return F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="none").sum(1).mean()


def attribute_losses(
    outputs: Mapping[str, Tensor], labels: Tensor, ratios: Tensor, unknown: str = IGNORED
) -> StepLosses:
    """Compute the losses of a model's outputs.

    A model with a teacher has the sum of the teacher's and the student's cross entropy and their distillation loss.

    Args:
        outputs: of an attribute model in training mode, by name.
        labels: (B, attributes), 0, 1 or 2 = not judged.
        ratios: (attributes,), see `label_ratios`.
        unknown: one of UNKNOWN_LABELS.
    """
    with torch.autocast(labels.device.type, enabled=False):
        heads = _TAUGHT if _DISTILLATION in outputs else {"": "logits"}
        parts = {
            f"cross_entropy_{owner}".rstrip("_"): weighted_cross_entropy(outputs[name], labels, ratios, unknown)
            for owner, name in heads.items()
        }
        if _DISTILLATION in outputs:
            parts["distillation"] = outputs[_DISTILLATION].float()
        return StepLosses(torch.stack(list(parts.values())).sum(), _right(outputs["logits"], labels), parts)


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over the samples of the share of their judged labels that are assigned correctly, scalar."""
    judged = labels != NOT_JUDGED
    correct = ((logits > _LIMIT) == (labels == 1)) & judged
    return (correct.sum(1) / judged.sum(1).clamp(min=1)).sum()
