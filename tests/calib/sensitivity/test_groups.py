"""Groups of layers, and that their names are patterns of a policy."""

from __future__ import annotations

import onnx
import pytest
from mambapro.calib.policy import matches
from mambapro.calib.sensitivity.groups import GROUPS, grouped
from mambapro.errors import InputError
from mambapro.graph.layers import points


@pytest.mark.parametrize("how", GROUPS)
def test_names_match_their_layers(graphs: dict[str, onnx.ModelProto], how: str) -> None:
    """A group's name as a pattern stands for the layers of the group and for no other."""
    modules = [point.module for point in points(graphs["fp32"])]

    groups = grouped(modules, how)

    assert sorted(name for names in groups.values() for name in names) == sorted(modules)
    assert {group: tuple(name for name in modules if matches(group, name)) for group in groups} == groups


def test_what_is_together() -> None:
    """Blocks are the numbered parts of the network, kinds are what is called the same in all of them."""
    modules = (
        "backbone.embedding.patches",
        "backbone.projection",
        "backbone.layers.3.mlp.inner",
        "backbone.layers.11.mlp.inner",
        "aggregation.blocks.0.intra.in_proj.rgb",
        "aggregation.blocks.0.intra.in_proj.tir",
    )

    assert list(grouped(modules, "layer")) == list(modules)
    assert list(grouped(modules, "block")) == [
        "backbone.embedding",
        "backbone.projection",
        "backbone.layers.3",
        "backbone.layers.11",
        "aggregation.blocks.0",
    ]
    assert grouped(modules, "kind")["backbone.layers.*.mlp.inner"] == modules[2:4]
    assert grouped(modules, "kind")["aggregation.blocks.*.intra.in_proj.*"] == modules[4:]


def test_an_unknown_way() -> None:
    """Another word lists the three."""
    with pytest.raises(InputError, match="layer, block, kind"):
        grouped((), "colour")
