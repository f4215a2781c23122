"""Attribute models of images and the words of the labels: fused by Mamba layers (VSF) or by a token mixture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ....errors import InputError
from ..parts.attribute_heads import TokenMix
from ..parts.mamba_mixer import MambaBlock, RMSNorm
from .attribute_config import AttributeConfig
from .attribute_model import Outputs
from .image_attributes import VisualTokens
from .text_encoder import TextEncoder

if TYPE_CHECKING:
    from typing import Self

#: Layers of the fusion; the authors copy the last ones of the text encoder.
FUSION_LAYERS = 2


class TextAttributes(VisualTokens):
    """Base of models with text: visual tokens, and one token for each label.

    The text depends on weights and labels only. In eval mode its vectors are computed once, until a weight changes or
    the model was trained.
    """

    aliases: ClassVar = {"mamba.lm_head.weight": "mamba.backbone.embedding.weight"}
    constants = ("label_tokens", "label_vectors")
    text_matrix = "text"

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.tex_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.word_proj = nn.Linear(config.text.width, config.width)
        if config.text_encoder:
            self.mamba = TextEncoder(config.text)
        self.label_tokens: Tensor | None
        self.label_vectors: Tensor | None
        for name in self.constants:
            # not in the state dict, whose keys are the public ones
            self.register_buffer(name, None, persistent=False)
        self._encoded: tuple[Any, Tensor] | None = None
        # projected tokens of the labels in place of the words, in a network for export
        self.text: Tensor | None
        self.register_buffer("text", None, persistent=False)

    def set_constants(self, *, label_tokens: Any = None, label_vectors: Any = None, **values: Any) -> None:
        """Set the labels' words: token ids for the text encoder, or vectors in its place. Each replaces the other.

        Args:
            label_tokens: int64 (attributes, tokens).
            label_vectors: float32 (attributes, text width); preferred to the token ids.

        Raises:
            InputError: another shape or type, ids beyond the vocabulary, token ids without a text encoder.
        """
        if values:
            raise InputError(f"Unknown constants {', '.join(values)}; there are {', '.join(self.constants)}.")
        device = self.tex_embed.device
        if label_tokens is not None:
            tokens = _tensor(label_tokens, "label_tokens").to(device)
            if not self.config.text_encoder:
                raise InputError(
                    "The checkpoint holds no text encoder for label_tokens. Give label_vectors (--label-vectors), one "
                    "for each label."
                )
            self.mamba.check(tokens)
            self._check_count(tokens, "label_tokens")
            self.label_tokens, self.label_vectors, self._encoded = tokens, None, None
        if label_vectors is not None:
            vectors = _tensor(label_vectors, "label_vectors")
            self._check_count(vectors, "label_vectors")
            if vectors.dim() != 2 or vectors.shape[1] != self.config.text.width or not vectors.is_floating_point():
                raise InputError(
                    f"label_vectors must be float32 ({self.config.attributes}, {self.config.text.width}), not "
                    f"{vectors.dtype} {tuple(vectors.shape)}."
                )
            if not vectors.isfinite().all():
                raise InputError("label_vectors holds NaN or infinity.")
            self.label_tokens, self.label_vectors = None, vectors.to(device, self.tex_embed.dtype)

    def _check_count(self, values: Tensor, name: str) -> None:
        if not values.dim() or len(values) != self.config.attributes:
            count = len(values) if values.dim() else 0
            raise InputError(
                f"{name} is of {count} labels, the model has {self.config.attributes} attributes. Give one row for "
                "each attribute, in the order of the training."
            )

    def label_matrix(self) -> Tensor:
        """Return the labels' vectors, (attributes, text width).

        Raises:
            InputError: neither vectors nor token ids were given.
        """
        if self.label_vectors is not None:
            return self.label_vectors
        if self.label_tokens is None:
            raise InputError(
                "The model reads the words of its labels, and the checkpoint holds neither their token ids nor their "
                "vectors. Give label_tokens, int64 (attributes, tokens), or label_vectors, float32 (attributes, "
                "width): arguments of load_checkpoint and set_constants, or files for --label-tokens or "
                "--label-vectors."
            )
        tensors = (self.label_tokens, *self.mamba.parameters())
        # tensors that were made in inference mode do not count their changes
        if self.training or torch.is_grad_enabled() or any(x.is_inference() for x in tensors):
            return self.mamba(self.label_tokens)
        state = [(x.data_ptr(), x._version) for x in tensors]
        if self._encoded is None or self._encoded[0] != state:
            self._encoded = (state, self.mamba(self.label_tokens))
        return self._encoded[1]

    def train(self, mode: bool = True) -> Self:
        """Switch to training or eval mode; the labels' vectors are computed again after a training."""
        if mode:
            # a fused optimizer changes weights without counting it in their version
            self._encoded = None
        return super().train(mode)

    @classmethod
    def shapes(cls, config: AttributeConfig) -> Self:
        """Build a model without memory for its tensors and without text encoder, as deployed and in eval mode."""
        model = super().shapes(replace(config, text_encoder=False))
        model.text = torch.empty(config.attributes, config.width, device="meta")
        return model

    def inference(self) -> nn.Module:
        """Return the network for export, with the labels' vectors as a constant and without the text encoder."""
        with torch.no_grad():
            # computed once: the copy that is folded takes it over
            self.label_matrix()
        return super().inference()

    def fold_constants(self) -> None:
        """Replace text encoder and projection by the labels' tokens, in place."""
        self.text = self.text_tokens(self.label_matrix()).contiguous()
        self.label_tokens = self.label_vectors = self._encoded = None

    def text_tokens(self, labels: Tensor) -> Tensor:
        """Project the labels' vectors (attributes, text width). Returns (attributes, width)."""
        return (self.word_proj(labels) + self.tex_embed)[0]

    def both_tokens(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute visual and text tokens of images (B, 3, H, W).

        Returns:
            (B, visual tokens + attributes, width), text behind, and the encoded labels by name.
        """
        visual, text, encoded = self.visual_tokens(images), self.text, {}
        if text is None:
            labels = self.label_matrix()
            text, encoded = self.text_tokens(labels), {"label_embeds_mean": labels}
        return torch.cat((visual, text.expand(visual.shape[0], -1, -1)), 1), encoded


class FusedAttributes(TextAttributes):
    """VSF: Mamba layers with one direction over visual and text tokens.

    A label's token is read after all visual ones and those of the labels before it, so the order of labels matters.
    """

    kind = "vsf_attributes"

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.VSF_mamba = nn.ModuleList([MambaBlock(config.width, config.state) for _ in range(FUSION_LAYERS)])
        self.norm = RMSNorm(config.width)
        self.add_heads(config.width)

    def initialize_fusion(self) -> None:
        """Copy the last layers of the text encoder into the fusion, as the authors do.

        Raises:
            InputError: there is no text encoder, or it is of other sizes.
        """
        text = self.config.text
        if not self.config.text_encoder or (text.width, text.state) != (self.config.width, self.config.state):
            raise InputError("The fusion is initialized from a text encoder of its width and state size.")
        for own, layer in zip(self.VSF_mamba, self.mamba.backbone.layers[-FUSION_LAYERS:], strict=True):
            own.load_state_dict(layer.state_dict())

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits, head tokens and encoded labels of images (B, 3, H, W). Returns them by name."""
        x, labels = self.both_tokens(images)
        for layer in self.VSF_mamba:
            block = cast(MambaBlock, layer)
            x = x + block.mixer(block.norm(x))
        tokens = self.norm(x)[:, -self.config.attributes :]
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens, **labels}


class MixedAttributes(TextAttributes):
    """Token mixture over visual and text tokens in place of VSF ("no_VSF")."""

    kind = "mixed_attributes"

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        self.conv_mm = TokenMix(self.tower.tokens + config.attributes, config.attributes)
        self.add_heads(config.width)

    def outputs(self, images: Tensor) -> Outputs:
        """Compute logits, head tokens and encoded labels of images (B, 3, H, W). Returns them by name."""
        x, labels = self.both_tokens(images)
        tokens = self.conv_mm(x)
        return {"logits": self.attribute_logits(tokens), "head_tokens": tokens, **labels}


def _tensor(values: Any, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    try:
        return torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}.") from error
