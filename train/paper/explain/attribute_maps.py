"""Heat maps of attributes: evidence of each patch for each attribute's logit.

Grad-CAM (https://arxiv.org/abs/1610.02391) on the last tokens of the image, with the gradient of each patch in place
of its mean over the patches (HiResCAM, https://arxiv.org/abs/2011.08891): the token mixture in front of the heads gives
every patch a weight of its own, which a mean would lose. Of the models without text the products of token and gradient
add up to the logit, but for a constant. The weight of a patch is the sum over channels, without negative values (ReLU).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.attributes.attribute_model import AttributeModel
from ...models.attributes.image_attributes import TOWERS
from .token_leaf import Cut, leaf_at, untouched

#: Module whose first input are the last tokens, by the kind of the model; other kinds have visual tokens in front of
#: their text.
_MIXTURES = {
    "image_attributes": "conv_vis",
    "pafusion": "conv_pool",
    "n_asf": "conv_pool",
    "asf": "conv_pool",
    "maformer": "conv_vis",
    "adamtf": "conv_pool",
    "kdtm": "conv_pool_vim",
    "makdf": "conv_pool_vim",
}
_LAST = "the tokens that enter the mixture of tokens in front of the heads"
_VISUAL = "the visual tokens, before the words of the attributes join them"
_BRANCHES = "the last tokens of the ViT, which both branches read"


@dataclass(frozen=True)
class TokenLayout:
    """Patches among the tokens at a cut: `grid` (rows, columns), and the row of the class token, None without one."""

    grid: tuple[int, int]
    class_row: int | None


def choose_attribute_cut(model: AttributeModel) -> Cut:
    """Return the last tokens of the image that the deployed logits depend on."""
    name = _MIXTURES.get(model.kind)
    if name is not None:
        return Cut(getattr(model, name), True, _LAST)
    if model.kind == "mahdft":
        return Cut(_behind_vit(model), False, _BRANCHES)
    projection = TOWERS[model.config.backbone][1]
    module = getattr(model, projection) if projection else _behind_vit(model)
    return Cut(module, False, _VISUAL)


def token_layout(model: AttributeModel, tokens: int) -> TokenLayout:
    """Return the places of the patches among `tokens` tokens at the cut of a model."""
    config = model.config
    if model.kind in ("image_attributes", "vsf_attributes", "mixed_attributes"):
        tower = getattr(model, config.backbone)
        return TokenLayout(tower.config.grid, tower.class_row)
    grid = config.vit.grid
    if tokens == grid[0] * grid[1]:
        return TokenLayout(grid, None)
    # Vim's token stands in the middle where its own tokens are read
    middle = model.kind in ("n_asf", "kdtm")
    return TokenLayout(grid, model.vim.class_row if middle else 0)  # type: ignore[union-attr, arg-type]


def attribute_maps(model: AttributeModel, images: Tensor, attributes: list[int]) -> tuple[Tensor, Tensor]:
    """Compute the evidence of the patches for some attributes.

    Args:
        model: its mode, its parameters' flags and its hooks are restored.
        images: normalized (B, 3, H, W).
        attributes: columns of the logits.

    Returns:
        float32 (B, attributes, rows, columns), at least 0, not scaled; the logits (B, all attributes).
    """
    with untouched(model), torch.enable_grad(), leaf_at(choose_attribute_cut(model)) as held:
        logits = model.logits(images)
        gradients = [torch.autograd.grad(logits[:, column].sum(), held, retain_graph=True)[0] for column in attributes]
    (tokens,) = (leaf.detach() for leaf in held)
    weights = torch.stack([(tokens * gradient).sum(-1) for gradient in gradients], 1).relu().float()
    layout = token_layout(model, tokens.shape[1])
    if layout.class_row is not None:
        row = layout.class_row
        weights = torch.cat((weights[..., :row], weights[..., row + 1 :]), -1)
    return weights.unflatten(-1, layout.grid), logits.detach().float()


def _behind_vit(model: AttributeModel) -> nn.Module:
    """Return the last ViT block whose tokens are read: all but the last, as released."""
    return model.vit.blocks[-2]  # type: ignore[union-attr, index, return-value]
