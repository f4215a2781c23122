"""Initialization of the parameters that CLIP's weights do not cover."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..mambapro.mambapro import MambaPro
from .adapters import LowRank
from .head import Head
from .mamba import StateSpace
from .prompt import IndependentPrompt
from .vit import Embedding


def initialize(model: MambaPro) -> None:
    """Initialize every parameter in place, by the authors' rules where they exist, by CLIP's for the tower.

    The aggregation's Linear layers have the same rule as all others, which replaces Mamba's own initialization of
    dt_proj: the first step size is softplus(0) = 0.693.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, StateSpace):
            _state_space(module)
        elif isinstance(module, Embedding):
            _embedding(module)
        elif isinstance(module, IndependentPrompt):
            for tokens in module.tokens.values():
                nn.init.zeros_(tokens)
    if model.config.backbone == "clip":
        nn.init.normal_(model.backbone.projection, std=model.config.width**-0.5)
    for module in model.modules():
        if isinstance(module, Head):
            nn.init.normal_(module.classifier.weight, std=0.001)
        elif isinstance(module, LowRank):
            # the changed matrix initially equals the pretrained one
            nn.init.zeros_(module.up.weight)


def _state_space(module: StateSpace) -> None:
    """Set A = -1, -2, ... -state in every channel (S4D-real, https://arxiv.org/abs/2206.11893) and D = 1."""
    rates = torch.arange(1, module.state + 1, dtype=torch.float32)
    with torch.no_grad():
        module.A_log.copy_(rates.log().expand_as(module.A_log))
        module.D.fill_(1.0)


def _embedding(module: Embedding) -> None:
    scale = module.class_token.shape[0] ** -0.5
    nn.init.normal_(module.class_token, std=scale)
    nn.init.normal_(module.positions, std=scale)
    if hasattr(module, module.table):
        nn.init.trunc_normal_(module.camera_rows(), std=0.02)
    nn.init.normal_(module.patches.weight, std=1 / math.sqrt(module.patches.weight[0].numel()))
    if module.patches.bias is not None:
        nn.init.zeros_(module.patches.bias)
