"""Grad-CAM (https://arxiv.org/abs/1610.02391) on patch tokens: evidence for the identity (figures 10, 11).

The score is that of retrieval: the similarity of the feature to its identity less that to the others
(`identity_directions`), as a scalar product. A patch's weight is the sum over channels of token times gradient, without
negative values (ReLU). On f_ir, the tokens after the last scan of MA, this is exactly Grad-CAM: every token enters the
feature through the mean over patches (eq. 18), so the gradient is equal at all of them and averaging changes nothing.
Where it differs, before the backbone's last layer, averaging would mark patches that the score does not depend on; the
product per patch does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.mambapro.mambapro import MambaPro
from .token_leaf import Cut, leaf_at, untouched

_SHARED = "the patch tokens after the aggregation, which the three modalities share in this kind ({})"
_PLACES = {
    "mamba": "f_ir, the patch tokens after the last scan of MA",
    "sum": _SHARED.format("sum"),
    "concat": _SHARED.format("concat"),
}


@dataclass(frozen=True)
class TokenGradients:
    """Patch tokens at the cut and the score's gradient there, both (3, B, patches, channels).

    `parts` (B, 3) is each modality's contribution to the product of target and feature, the feature at length 1.
    """

    tokens: Tensor
    gradients: Tensor
    parts: Tensor

    def maps(self, grid: tuple[int, int]) -> Tensor:
        """Compute the weights of the patches. Returns float32 (B, 3, *grid), at least 0, not scaled."""
        weights = (self.tokens * self.gradients).sum(-1).relu()
        return weights.transpose(0, 1).unflatten(2, grid).float()


def choose_cut(model: MambaPro) -> Cut:
    """Return the last patch tokens that the feature depends on.

    After the aggregation of any kind: with MA these are f_ir. Without aggregation those at the input of the backbone's
    last layer, since after it patches no longer reach the class tokens.
    """
    if not model.config.mamba:
        text = "the patch tokens that enter the backbone's last layer, since this model runs without MA"
        return Cut(model.backbone.layers[-1], True, text)
    kind = model.config.aggregation_kind
    text = _PLACES.get(kind, f"the patch tokens after the aggregation of kind {kind}")
    return Cut(model.aggregation.halves[-1], False, text)


def token_gradients(model: MambaPro, images: Tensor, cameras: Tensor, targets: Tensor) -> TokenGradients:
    """Compute the gradient of each sample's score with respect to its patch tokens.

    Args:
        model: its mode, its parameters' flags and its hooks are restored.
        images: normalized (B, 3 modalities, 3, H, W).
        cameras: int64 (B,).
        targets: (B, 3 dim); the score is the feature's scalar product with them.
    """
    with untouched(model), torch.enable_grad(), leaf_at(choose_cut(model)) as held:
        feature = model(images, cameras)
        scores = feature * targets
        (gradient,) = torch.autograd.grad(scores.sum(), held)
    parts = scores.detach().unflatten(1, (3, -1)).sum(-1) / feature.detach().norm(dim=1, keepdim=True)
    rows, columns = model.config.grid
    tokens, gradient = (_patches(x, rows * columns) for x in (held[0].detach(), gradient))
    return TokenGradients(tokens, gradient, parts)


def _patches(x: Tensor, patches: int) -> Tensor:
    """Return (3, B, patches, channels) from (3, B, N, channels) or (3B, N, channels), without a class token."""
    x = x.unflatten(0, (3, -1)) if x.dim() == 3 else x
    return x[:, :, x.shape[2] - patches :]
