"""Operations of a forward pass, against PyTorch's own counter and by hand."""

from __future__ import annotations

import pytest
import torch
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.mambapro.sizes import config_of_size
from mambapro.train.paper.ablation.table_rows import Row
from mambapro.train.paper.ablation.tables import TABLES
from mambapro.train.paper.cost.operations import SCAN_OPERATIONS, operations
from mambapro.train.paper.cost.parameters import empty_model
from torch.utils.flop_counter import FlopCounterMode

#: Every model that a row is, once. Depths of figure 9 are those of twelve layers and do not fit the small size.
ROWS = {
    (row.backbone, *sorted(row.fields.items())): row
    for table in TABLES.values()
    if table.key not in ("fig9b", "fig9c")
    for row in table.rows
}


def scans(config: MambaProConfig) -> int:
    """Operations of the scans alone: each half reads the tokens of all three images once."""
    halves = {"mamba": 2, "intra": 1, "inter": 1}.get(config.aggregation_kind, 0) if config.mamba else 0
    values = 3 * config.grid[0] * config.grid[1] * config.scan_channels
    return config.aggregation_depth * halves * values * (SCAN_OPERATIONS * config.state + 1)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.key)
def test_as_pytorch_counts(row: Row) -> None:
    """Without the scan, which PyTorch's counter does not know, it is half of PyTorch's number."""
    config = config_of_size("tiny_imagenet" if row.backbone == "vit" else "tiny", image_size=(64, 32), **row.fields)
    model = empty_model(config)
    images = torch.empty((1, 3, 3, 64, 32), device="meta")

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images, torch.zeros(1, dtype=torch.int64, device="meta"))

    assert 2 * (sum(operations(model).values()) - scans(config)) == counter.get_total_flops()


def test_by_hand() -> None:
    """The full-size parts, from their shapes: 129 tokens of three streams, 384 patch tokens in the aggregation."""
    plain = operations(empty_model(config_of_size("vit_b16", prompt=False)))

    tokens, width = 129, 768
    layer = tokens * (4 * width**2 + 2 * width * 3072) + 2 * tokens**2 * width
    tower = 128 * width * 3 * 16**2 + 12 * layer + tokens * width * 512
    assert plain["backbone"] == 3 * tower
    assert plain["adapter"] == 3 * 12 * tokens * 2 * width * 1536
    half = 384 * 1024 * (2 * 512 + 9 + 64 + 32 + 512) + 384 * 1024 * (9 * 16 + 1)
    assert plain["aggregation"] == 4 * half + 3 * 1024 * 512
    assert plain["prompt"] == plain["heads"] == plain["camera"] == 0


def test_lora_counts_as_adapter() -> None:
    """What LoRA adds to attention's projection is the adapter's, not the backbone's."""
    config = config_of_size("vit_b16", depth=1, prompt=False, mamba=False, adapter_kind="lora", lora_rank=64)

    assert operations(empty_model(config))["adapter"] == 3 * 129 * 2 * 768 * 64
