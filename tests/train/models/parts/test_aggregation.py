"""How the modalities meet, in every kind of aggregation."""

from __future__ import annotations

import pytest
import torch
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.parts.aggregation import Aggregation


def aggregation_of(kind: str, depth: int = 1) -> Aggregation:
    """A tiny one for 4 x 2 patches in eval mode; at initial values hardly anything gets through a scan."""
    torch.manual_seed(0)
    made = build_model("tiny", image_size=(64, 32), aggregation_kind=kind, aggregation_depth=depth).eval().aggregation
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made


def tokens_and_others(modality: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (3, 2, count, 64) and the same with other patches in one modality; the first token stays."""
    tokens = torch.randn(3, 2, count, 64)
    other = tokens.clone()
    other[modality, :, 1:] += 1
    return tokens, other


@pytest.mark.parametrize(
    ("kind", "reached"),
    [
        *((kind, [2]) for kind in ("intra", "inter", "mamba")),
        *((kind, [0, 1, 2]) for kind in ("sum", "concat", "transformer", "ma_transformer")),
    ],
)
def test_where_tir_is_seen(kind: str, reached: list[int]) -> None:
    """TIR patches reach its own part of the feature; scans are causal, everything else mixes all modalities."""
    aggregation = aggregation_of(kind)
    pair = tokens_and_others(2, 1 + 8)

    with torch.no_grad():
        before, after = (aggregation(x).view(2, 3, 64) for x in pair)

    assert [i for i in range(3) if not torch.equal(before[:, i], after[:, i])] == reached


@pytest.mark.parametrize(
    ("kind", "half", "apart"), [("intra", "intra", True), ("inter", "inter", False), ("ma_transformer", "intra", True)]
)
def test_intra_keeps_modalities_apart(kind: str, half: str, apart: bool) -> None:
    """RGB patches reach TIR's in what runs across modalities, not in what runs inside them."""
    part = aggregation_of(kind).blocks[0][half]
    tokens, other = tokens_and_others(0, 8)

    with torch.no_grad():
        assert torch.equal(part(tokens)[2], part(other)[2]) is apart


def test_sum() -> None:
    """Every modality goes on with the sum of all, and there is one block however many are asked for."""
    (half,) = aggregation_of("sum", depth=3).halves
    tokens = torch.randn(3, 2, 8, 64)

    torch.testing.assert_close(half(tokens), (tokens[0] + tokens[1] + tokens[2]).expand(3, -1, -1, -1))


def test_concat() -> None:
    """Every modality goes on with one linear function of the three, patch by patch, rgb first."""
    (half,) = aggregation_of("concat").halves
    tokens = torch.randn(3, 2, 8, 64)
    parts = half.linear.weight.split(64, 1)
    wanted = sum(x @ part.T for x, part in zip(tokens, parts, strict=True)) + half.linear.bias

    torch.testing.assert_close(half(tokens), wanted.expand(3, -1, -1, -1))


def test_parts_of_the_feature() -> None:
    """The halves see the patches without the class token; each part reduces class token and mean patch (eq. 19)."""
    aggregation = aggregation_of("mamba")
    tokens = torch.randn(3, 2, 1 + 8, 64)
    seen: list[torch.Tensor] = []
    aggregation.halves[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    with torch.no_grad():
        feature = aggregation(tokens)
        patches = tokens[:, :, 1:]
        for half in aggregation.halves:
            patches = half(patches)
        tir = aggregation.reduction["tir"](torch.cat((tokens[2, :, 0], patches[2].mean(1)), -1))

    assert torch.equal(seen[0], tokens[:, :, 1:])
    torch.testing.assert_close(feature.chunk(3, dim=-1)[2], tir)
