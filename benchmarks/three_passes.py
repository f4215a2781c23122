"""The model as one would write it down first: three passes through one backbone, the scan as a loop in eager PyTorch.

It runs on the parameters of a MambaPro and returns what that returns. `train_step.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.parts.aggregation import ModalityScan
from mambapro.train.models.parts.layers import Bottleneck
from mambapro.train.models.parts.mamba import StateSpace
from mambapro.train.models.parts.prompt import SynergisticResidualPrompt
from mambapro.train.models.parts.vit import Attention, Embedding, Layer
from scan_cpu import indexed_loop, loop
from torch import Tensor, nn

Recurrence = Callable[..., Tensor]

#: The scan in eager PyTorch: "indexed" is how reference scans are written, "unbind" keeps the slices' gradients small.
RECURRENCES = {"unbind": loop, "indexed": indexed_loop}


class ThreePasses(nn.Module):
    """A published MambaPro in training mode, one modality after the other."""

    def __init__(self, model: MambaPro, recurrence: str = "unbind") -> None:
        super().__init__()
        self.model, self.recurrence = model, RECURRENCES[recurrence]

    def forward(self, images: Tensor, cameras: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Images (B, 3, 3, H, W) and cameras (B,) -> (score, feature) pairs."""
        tokens = [self.backbone(m, images[:, i], cameras) for i, m in enumerate(MODALITIES)]
        return self.outputs(tokens)

    def backbone(self, modality: str, images: Tensor, cameras: Tensor) -> Tensor:
        backbone = self.model.backbone
        x, fused = embed(backbone.embedding, images, cameras), None
        for layer in backbone.layers:
            count = x.shape[1]
            x = transform(layer, torch.cat((x, prompts(layer.prompt, modality, fused, len(x))), 1))
            x, fused = x[:, :count], x[:, count:].unflatten(1, (3, -1)).mean(1)
        return backbone.ln_post(x) @ backbone.projection

    def outputs(self, tokens: list[Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
        model = self.model
        classes = [x[:, 0] for x in tokens]
        each = [model.backbone.head(x) for x in classes]
        joint = model.concat_head(torch.cat(classes, -1))
        patches = [x[:, 1:] for x in tokens]
        for half in model.aggregation.halves:
            patches = aggregate(half, patches, self.recurrence)
        pairs = [torch.cat((x, y.mean(1)), -1) for x, y in zip(classes, patches, strict=True)]
        feature = torch.cat([model.aggregation.reduction[m](x) for m, x in zip(MODALITIES, pairs, strict=True)], -1)
        return (*([joint] if model.config.direct else each), model.fused_head(feature))


def embed(embedding: Embedding, images: Tensor, cameras: Tensor) -> Tensor:
    patches = embedding.patches(images).flatten(2).transpose(1, 2)
    class_token = embedding.class_token + embedding.camera_scale * embedding.cameras[cameras]
    return embedding.ln_pre(torch.cat((class_token.unsqueeze(1), patches), 1) + embedding.positions)


def prompts(prompt: SynergisticResidualPrompt, modality: str, fused: Tensor | None, batch: int) -> Tensor:
    """(batch, 3 * tokens, width)."""
    groups = []
    for other in MODALITIES:
        p = prompt.tokens[other]
        if other != modality:
            groups.append((p + bottleneck(prompt.transfer[other], p)).expand(batch, -1, -1))
        else:
            own = p.expand(batch, -1, -1)
            groups.append(own if fused is None else fused + bottleneck(prompt.residual, fused) + own)
    return torch.cat(groups, 1)


def transform(layer: Layer, x: Tensor) -> Tensor:
    x = x + attention(layer.attention, layer.ln_1(x))
    return x + bottleneck(layer.mlp, layer.ln_2(x)) + bottleneck(layer.adapter, x)


def attention(module: Attention, x: Tensor) -> Tensor:
    batch, tokens, width = x.shape
    parts = [y.view(batch, tokens, module.heads, -1).transpose(1, 2) for y in module.in_proj(x).chunk(3, -1)]
    return module.out_proj(F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(batch, tokens, width))


def bottleneck(module: Bottleneck, x: Tensor) -> Tensor:
    hidden = module.inner(x)
    return module.outer(hidden * torch.sigmoid(1.702 * hidden))


def aggregate(half: ModalityScan, patches: list[Tensor], recurrence: Recurrence) -> list[Tensor]:
    """One half of a block; (B, L, dim) for each modality."""
    pairs = [half.in_proj[m](x).chunk(2, -1) for m, x in zip(MODALITIES, patches, strict=True)]
    inputs = [half.conv[m](x) for m, (x, _) in zip(MODALITIES, pairs, strict=True)]
    spaces = half.scans.spaces
    if len(spaces) == 3:
        scanned = [scan(space, x, recurrence) for space, x in zip(spaces, inputs, strict=True)]
    else:
        scanned = list(scan(spaces[0], torch.cat(inputs, 1), recurrence).chunk(3, 1))
    gates = [F.silu(gate) for _, gate in pairs]
    return [x + half.out_proj(y * gate) for x, y, gate in zip(patches, scanned, gates, strict=True)]


def scan(space: StateSpace, x: Tensor, recurrence: Recurrence) -> Tensor:
    """(B, L, channels) -> the same; the recurrence in float32, as the released model's."""
    step, b, c = (part.float() for part in space.project(x))
    with torch.autocast(x.device.type, enabled=False):
        y = recurrence(x.float(), step, space.decay(), b.unsqueeze(2), c.unsqueeze(2), space.D, space.dt_proj.bias)
    return space.out_norm(y.to(x.dtype))
