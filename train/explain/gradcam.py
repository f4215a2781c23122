"""Grad-CAM on patch tokens: where in each image lies what makes the sample look like its identity (figures 10, 11).

The score is the retrieval's own: the feature's projection on the direction of its identity, the mean feature of the
identity's other samples. A patch's weight is the sum over channels of token times gradient, negative ones cut off
(ReLU). On f_ir, the tokens after the last scan of MA, this is Grad-CAM to the letter: every token enters the feature
through the mean over patches (eq. 18), so the gradient is the same at all of them and averaging it changes nothing.
Where it is not the same, before the backbone's last layer, averaging would light patches that the score does not
depend on; the product taken per patch does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.mambapro import MambaPro
from .stages import require_parts


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

    `parts` (B, 3) is what each modality adds to the cosine between feature and target.
    """

    tokens: Tensor
    gradients: Tensor
    parts: Tensor

    def maps(self, grid: tuple[int, int]) -> Tensor:
        """Weights of the patches, float32 (B, 3, *grid), at least 0, not scaled."""
        weights = (self.tokens * self.gradients).sum(-1).relu()
        return weights.transpose(0, 1).unflatten(2, grid).float()


def choose_cut(model: MambaPro) -> Cut:
    """The patch tokens nearest to the feature that still have a place in the image.

    f_ir with MA; the tokens that enter the aggregation where its kind hands out none; and without any aggregation
    those that enter the backbone's last layer, since after it patches no longer reach the class tokens.
    """
    if not model.config.mamba:
        text = "the patch tokens that enter the backbone's last layer (this model runs without MA)"
        return Cut(model.backbone.layers[-1], True, text)
    halves = list(getattr(model.aggregation, "halves", ()))
    if halves:
        return Cut(halves[-1], False, "f_ir, the patch tokens after the last scan of MA")
    return Cut(model.aggregation, True, "the patch tokens that enter the aggregation (this kind scans none)")


def token_gradients(model: MambaPro, images: Tensor, cameras: Tensor, targets: Tensor) -> TokenGradients:
    """Gradient of each sample's score with respect to its patch tokens.

    Args:
        model: its mode, its parameters' flags and its hooks are afterwards as before.
        images: normalised (B, 3 modalities, 3, H, W).
        cameras: int64 (B,).
        targets: unit vectors (B, 3 dim); the score is the feature's scalar product with them.

    Raises:
        InputError: a model whose feature has no part for each modality.
    """
    with _untouched(model), torch.enable_grad(), _leaf_at(choose_cut(model)) as held:
        feature = model(images, cameras)
        require_parts(feature.shape[-1], model.config.embed_dim)
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
