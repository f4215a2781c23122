"""Costs of the attribute models against a count that was made without this code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mambapro.train.engine.recipes import load_recipe
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.paper.cost.attribute_cost import attribute_cost, named_attribute_costs
from mambapro.train.paper.cost.task_costs import recipe_info

#: Millions of values, G multiply-additions, G scan work, as counted by an independent implementation.
COUNTED = {
    "par_image_vim_s": (25.7, 4.91, 1.05),
    "par_image_vmamba_b": (77.1, 13.34, 4.66),
    "par_image_vit_b": (86.6, 16.11, 0),
    "par_vsf_vim_s": (163.0, 6.59, 1.15),
    "hybrid3_asf": (114.9, 14.17, 1.40),
    "hybrid4_maformer": (119.6, 19.59, 0.48),
    "hybrid5_mahdft": (112.8, 18.58, 0.48),
    "hybrid7_kdtm": (112.3, 21.03, 1.05),
    "hybrid8_makdf": (130.9, 21.84, 0.97),
    "par_vsf_vmamba_b": (214.3, 13.91, 4.69),
    "hybrid1_pafusion": (119.9, 23.75, 1.05),
    "hybrid2_n_asf": (112.8, 10.73, 1.05),
    "hybrid6_adamtf": (113.7, 22.53, 1.05),
}


@pytest.mark.full
@pytest.mark.parametrize("name", COUNTED)
def test_counts(name: str) -> None:
    """Values, multiply-additions and scan work of a whole forward pass are those of the independent count, rounded."""
    cost = attribute_cost(NAMED_MODELS[name].kind, NAMED_MODELS[name].config, name)

    values, operations, scan = COUNTED[name]
    assert round(cost.values / 1e6, 1) == values
    assert (round(cost.operations / 1e9, 2), round(cost.scan / 1e9, 2)) == (operations, scan)


def test_deployed() -> None:
    """A student is deployed without its teacher: KDTM costs what Vim-S costs; text models without their encoder."""
    vim, kdtm, vsf = named_attribute_costs(("par_image_vim_s", "hybrid7_kdtm", "par_vsf_vim_s")).models

    assert kdtm.deployed_operations == vim.operations < kdtm.operations
    assert round(kdtm.deployed_values / 1e6, 1) == 25.7
    assert round(vsf.deployed_values / 1e6, 1) == 33.9


def test_table() -> None:
    """The figure of the paper stands beside the count, and a remark explains the difference."""
    text = str(named_attribute_costs(("par_image_vim_s", "hybrid5_mahdft")))

    rows = {line.split()[0]: line.split() for line in text.splitlines()[2:4]}
    assert rows["par_image_vim_s"] == ["par_image_vim_s", "25.74", "25.73", "4.91", "1.05", "4.91", "1.05", "25.7"]
    assert rows["hybrid5_mahdft"][-1] == "-"


def test_scan_by_hand() -> None:
    """One layer of a mini: 17 tokens, 64 channels, 2 directions, 16 states; 9 for each and 1 for D."""
    named = NAMED_MODELS["mini_par_image_vim_s"]
    one = replace(named.config, vim=replace(named.config.vim, depth=1))

    assert attribute_cost(named.kind, one, "one").scan == 17 * 64 * 2 * (9 * 16 + 1)


def test_recipe() -> None:
    """A recipe's model is counted; a changed one has no figure of the paper."""
    (published,) = recipe_info(load_recipe("vim_s")).models  # type: ignore[attr-defined]
    (changed,) = recipe_info(load_recipe("vim_s", ["model.overrides.vim.depth=12"])).models  # type: ignore[attr-defined]

    assert published.paper == 25.7 and changed.paper is None and changed.values < published.values
