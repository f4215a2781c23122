"""Attribute models for export: one uint8 image in, logits and probabilities of what is deployed out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..folding import copy_for_folding, fold
from .attribute_folding import FOLDED, fold_heads
from .deployment import Deployment, prune, recorded

if TYPE_CHECKING:
    from .attribute_model import AttributeModel

_SUFFIXES = ("", "_vim")


def attribute_network(model: AttributeModel, deployment: Deployment) -> nn.Module:
    """Build the network for export from a copy of a model, which stays unchanged and shares its tensors.

    Its forward pass takes `image`, uint8 (B, H, W, 3), and returns logits and probabilities (B, attributes), then the
    stages of the deployment. Its modules have the model's names; those that do not run are left out.
    """
    with torch.no_grad():
        network = copy_for_folding(model).eval()
        network.fold_constants()
        prune(network, deployment.calls)
        fold(network, FOLDED)
        fold_heads(network, _SUFFIXES)
    for name in ("mean", "std"):
        network.register_buffer(name, torch.tensor(getattr(model.config, f"pixel_{name}")), persistent=False)
    stages = recorded(network, deployment.stages)
    # a network around it would stand in front of all names of modules
    network.forward = partial(_recognize, network, deployment.stages, stages)  # type: ignore
    return network


def _recognize(
    network: AttributeModel, names: tuple[str, ...], stages: dict[str, Tensor], image: Tensor
) -> tuple[Tensor, ...]:
    # the cast comes first: TensorRT-RTX accepts uint8 in no other operator
    mean, std = network.get_buffer("mean"), network.get_buffer("std")
    x = (image.float() / 255 - mean) / std
    logits = network.logits(x.permute(0, 3, 1, 2))
    outputs = (logits, logits.sigmoid(), *(stages[name] for name in names))
    stages.clear()
    return outputs
