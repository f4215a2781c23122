"""Text encoder of the attribute labels: Mamba language model (https://arxiv.org/abs/2312.00752) without its head."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ....errors import InputError
from ..model_spec import Model
from ..parts.mamba_mixer import MambaBlock, RMSNorm
from .attribute_config import TextConfig


class TextLayers(nn.Module):
    """Embedding, Mamba layers with one direction, final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList([MambaBlock(config.width, config.state) for _ in range(config.depth)])
        self.norm_f = RMSNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids int64 (A, L). Returns (A, L, width)."""
        hidden, residual = self.embedding(tokens), None
        for layer in self.layers:
            hidden, residual = layer(hidden, residual)
        return self.norm_f(hidden if residual is None else residual + hidden)


class TextEncoder(Model):
    """Mean of the encoded tokens of each label, padding included, as in the authors' code."""

    kind = "mamba_text"
    config_type = TextConfig
    # the output matrix of the language model is the embedding's
    aliases: ClassVar = {"lm_head.weight": "backbone.embedding.weight"}

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = TextLayers(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids int64 (A, L). Returns one vector for each label, (A, width)."""
        return self.backbone(tokens).mean(1)

    def check(self, tokens: Tensor) -> None:
        """Check token ids.

        Raises:
            InputError: no int64 (A, L), or ids beyond the vocabulary.
        """
        if tokens.dim() != 2 or tokens.dtype != torch.int64 or not tokens.numel():
            raise InputError(f"label_tokens must be int64 (labels, tokens), not {tokens.dtype} {tuple(tokens.shape)}.")
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.config.vocabulary:
            raise InputError(
                f"label_tokens has the id {low if low < 0 else high}; the text encoder's vocabulary has ids from 0 to "
                f"{self.config.vocabulary - 1}. Give the ids of the tokenizer that the model was trained with."
            )
