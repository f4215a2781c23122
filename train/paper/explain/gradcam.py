"""Grad-CAM on patch tokens: where in each image lies what tells the sample's identity from others (figures 10, 11).

The score is the retrieval's own: how much more similar the feature is to its identity than to the other ones
(`identity_directions`), as a scalar product. A patch's weight is the sum over channels of token times gradient,
negative ones cut off (ReLU). On f_ir, the tokens after the last scan of MA, this is Grad-CAM to the letter: every
token enters the feature through the mean over patches (eq. 18), so the gradient is the same at all of them and
averaging it changes nothing. Where it is not the same, before the backbone's last layer, averaging would light patches
that the score does not depend on; the product taken per patch does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.mambapro.mambapro import MambaPro

_SHARED = "the patch tokens after the aggregation, which the three modalities share in this kind ({})"
_PLACES = {
    "mamba": "f_ir, the patch tokens after the last scan of MA",
    "sum": _SHARED.format("sum"),
    "concat": _SHARED.format("concat"),
}


@dataclass(frozen=True)
class Cut:
    """Where the gradient is taken: at the output of a module, or (`entering`) at its first input."""

    module: nn.Module
    entering: bool
    #: for the caption
    text: str


@dataclass(frozen=True)
class TokenGradients:
    """Patch tokens at the cut and the score's gradient there, both (3, B, patches, channels).

    `parts` (B, 3) is what each modality adds to the product of target and feature, the feature at length 1.
    """

    tokens: Tensor
    gradients: Tensor
    parts: Tensor

    def maps(self, grid: tuple[int, int]) -> Tensor:
        """Weights of the patches, float32 (B, 3, *grid), at least 0, not scaled."""
        weights = (self.tokens * self.gradients).sum(-1).relu()
        return weights.transpose(0, 1).unflatten(2, grid).float()


def choose_cut(model: MambaPro) -> Cut:
    """The last patch tokens that the feature depends on.

    After the aggregation, whatever its kind: with MA these are f_ir. Without aggregation those that enter the
    backbone's last layer, since after it patches no longer reach the class tokens.
    """
    if not model.config.mamba:
        text = "the patch tokens that enter the backbone's last layer, since this model runs without MA"
        return Cut(model.backbone.layers[-1], True, text)
    kind = model.config.aggregation_kind
    text = _PLACES.get(kind, f"the patch tokens after the aggregation of kind {kind}")
    return Cut(model.aggregation.halves[-1], False, text)


def token_gradients(model: MambaPro, images: Tensor, cameras: Tensor, targets: Tensor) -> TokenGradients:
    """Gradient of each sample's score with respect to its patch tokens.

    Args:
        model: its mode, its parameters' flags and its hooks are afterwards as before.
        images: normalised (B, 3 modalities, 3, H, W).
        cameras: int64 (B,).
        targets: (B, 3 dim); the score is the feature's scalar product with them.
    """
    with _untouched(model), torch.enable_grad(), _leaf_at(choose_cut(model)) as held:
        feature = model(images, cameras)
        scores = feature * targets
        (gradient,) = torch.autograd.grad(scores.sum(), held)
    parts = scores.detach().unflatten(1, (3, -1)).sum(-1) / feature.detach().norm(dim=1, keepdim=True)
    rows, columns = model.config.grid
    tokens, gradient = (_patches(x, rows * columns) for x in (held[0].detach(), gradient))
    return TokenGradients(tokens, gradient, parts)


def _patches(x: Tensor, patches: int) -> Tensor:
    """(3, B, N, channels) or (3B, N, channels) -> (3, B, patches, channels), without a class token."""
    x = x.unflatten(0, (3, -1)) if x.dim() == 3 else x
    return x[:, :, x.shape[2] - patches :]


@contextmanager
def _leaf_at(cut: Cut) -> Iterator[list[Tensor]]:
    """While open, the tensor at the cut is a leaf of the graph; it is put into the list."""
    held: list[Tensor] = []

    def swap(x: Tensor) -> Tensor:
        held.append(x.detach().requires_grad_())
        return held[-1]

    if cut.entering:
        handle = cut.module.register_forward_pre_hook(lambda _, inputs: (swap(inputs[0]), *inputs[1:]))
    else:
        handle = cut.module.register_forward_hook(lambda _, inputs, output: swap(output))
    try:
        yield held
    finally:
        handle.remove()


@contextmanager
def _untouched(model: MambaPro) -> Iterator[None]:
    """Evaluation mode without gradients for parameters, so that no graph is kept before the cut."""
    training, flags = model.training, [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
