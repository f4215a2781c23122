"""Directions of a scan and how several share one call, against the scan's definition in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mambapro.plugins.selective_scan import reference
from mambapro.train.models.parts.head import Head
from mambapro.train.models.parts.mamba import DIRECTIONS, ScanGroup, StateSpace

CHANNELS, STATE, RANK = 6, 3, 2


def drawn_group(sequences: tuple[str, ...], directions: tuple[str, ...]) -> ScanGroup:
    """Every parameter drawn, so that no two directions are alike."""
    torch.manual_seed(0)
    group = ScanGroup(sequences, directions, lambda: StateSpace(CHANNELS, STATE, RANK))
    with torch.no_grad():
        for parameter in group.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return group.double()


def by_definition(space: StateSpace, x: np.ndarray) -> np.ndarray:
    """One direction on its sequence (B, L, channels): the projections written out, then the scan, then LayerNorm."""
    values = {name: value.detach().numpy() for name, value in space.named_parameters()}
    projected = x @ values["x_proj.weight"].T
    rank, b, c = projected[..., :RANK], projected[..., RANK : RANK + STATE], projected[..., RANK + STATE :]
    y = reference.selective_scan(
        x,
        rank @ values["dt_proj.weight"].T,
        -np.exp(values["A_log"]),
        b[:, :, None],
        c[:, :, None],
        values["D"],
        values["dt_proj.bias"],
    )
    centred = y - y.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * values["out_norm.weight"] + values["out_norm.bias"]


@pytest.mark.parametrize("directions", [DIRECTIONS, DIRECTIONS[:1]], ids=["both", "ahead"])
def test_each_sequence_by_its_own_parameters(directions: tuple[str, ...]) -> None:
    """Every sequence is scanned with its own step, B, C, A and D; "back" reads from the end, and its output, turned
    round again, is added token by token."""
    group = drawn_group(("rgb", "nir"), directions)
    sequences = [torch.randn(2, 7, CHANNELS, dtype=torch.float64) for _ in range(2)]

    with torch.no_grad():
        found = group(sequences)

    for name, x, y in zip(("rgb", "nir"), sequences, found, strict=True):
        expected = by_definition(group[name]["ahead"], x.numpy())
        if len(directions) == 2:
            expected = expected + by_definition(group[name]["back"], x.numpy()[:, ::-1])[:, ::-1]
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_states_decay() -> None:
    """A is negative whatever A_log is."""
    space = drawn_group(("all",), DIRECTIONS[:1]).spaces[0]

    np.testing.assert_allclose(space.decay().detach().numpy(), -np.exp(space.A_log.detach().numpy()))


def test_the_neck_s_bias_is_not_trained() -> None:
    """BNNeck: the norm's bias takes no gradient, its weight and the classifier do, and the classifier has no bias."""
    head = Head(4, 3)

    assert {name for name, value in head.named_parameters() if value.requires_grad} == {
        "norm.weight",
        "classifier.weight",
    }
    assert not head.norm.bias.requires_grad and head.classifier.bias is None


def test_the_triplet_loss_gets_the_feature_before_the_neck() -> None:
    """Scores are of the normalised feature, the feature itself is handed on as it is."""
    head = Head(4, 3).eval()
    with torch.no_grad():
        head.norm.running_mean.fill_(2.0)
        head.norm.running_var.fill_(4.0)
    feature = torch.randn(5, 4)

    score, handed_on = head(feature)

    assert torch.equal(handed_on, feature)
    expected = ((feature - 2) / (4 + 1e-5) ** 0.5) @ head.classifier.weight.T
    torch.testing.assert_close(score, expected)
