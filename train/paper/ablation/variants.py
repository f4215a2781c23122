"""Tables 4, 5, 6, 8, 9 and 11, figures 8 and 9: other prompts, adapters, aggregations, backbones and sizes.

Where the paper does not say which other parts are there, its figures do: table 8's best row and table 5's last are row
C of table 3, so both are CLIP with an adapter alone; table 4's last is row D, CLIP with prompts alone; the best rows of
tables 6, 9 and 11 are the whole model.
"""

from __future__ import annotations

from typing import Any

from .components import switches
from .table_rows import Figures, Row, Table

_PERSONS = "rgbnt201"
_WHOLE = switches(prompt=True, adapter=True, mamba=True)
_PROMPTS, _ADAPTERS = switches(prompt=True), switches(adapter=True)


def _figures(
    mean: float, rank1: float, rank5: float, rank10: float, gflops: float | None = None, params: float | None = None
) -> Figures:
    """Return a row's figures in the order of the paper's columns."""
    return Figures(mean, rank1, rank5, rank10, params, gflops)


def _prompts(kind: str) -> dict[str, Any]:
    return {**_PROMPTS, "prompt_kind": kind}


def _adapters(**fields: Any) -> dict[str, Any]:
    return {**_ADAPTERS, **fields}


def _aggregation(kind: str) -> dict[str, Any]:
    return {**_WHOLE, "aggregation_kind": kind}


TABLE_4 = Table(
    "4",
    "Table 4, prompts",
    _PERSONS,
    (
        Row("IP", "independent", _prompts("independent"), _figures(64.7, 65.9, 77.3, 82.9, 0.09, 0.01)),
        Row("SP", "synergistic", _prompts("sp"), _figures(68.9, 70.7, 80.9, 85.2, 0.28, 1.78)),
        Row(
            "SRP-separation",
            "residual, each its own",
            _prompts("srp_separation"),
            _figures(70.1, 72.3, 82.1, 86.7, 0.29, 3.55),
        ),
        Row("SRP-fusion", "residual, fused", _prompts("srp"), _figures(71.3, 74.5, 83.4, 87.9, 0.29, 2.37)),
    ),
    "prompt",
)

TABLE_5 = Table(
    "5",
    "Table 5, adapters",
    _PERSONS,
    (
        Row(
            "LoRA-64",
            "low rank, 64",
            _adapters(adapter_kind="lora", lora_rank=64),
            _figures(54.5, 55.3, 68.1, 76.1, 0.01, 0.10),
        ),
        Row(
            "LoRA-256",
            "low rank, 256",
            _adapters(adapter_kind="lora", lora_rank=256),
            _figures(55.7, 56.9, 69.7, 77.3, 0.05, 0.39),
        ),
        Row(
            "LoRA-384",
            "low rank, 384",
            _adapters(adapter_kind="lora", lora_rank=384),
            _figures(47.2, 47.1, 62.2, 69.1, 0.08, 0.60),
        ),
        Row("BNA", "bottleneck", _adapters(adapter_kind="bottleneck"), _figures(68.5, 69.4, 79.1, 84.0, 0.08, 0.60)),
        Row(
            "PFA", "parallel feed-forward", _adapters(adapter_kind="pfa"), _figures(73.2, 76.4, 85.2, 88.2, 0.30, 2.36)
        ),
    ),
    "adapter",
)

TABLE_6 = Table(
    "6",
    "Table 6, aggregation",
    _PERSONS,
    (
        Row("Sum", "mean patch tokens", _aggregation("sum"), _figures(75.3, 79.4, 87.2, 89.4, 0.01, 1.58)),
        Row(
            "Concat", "patch tokens side by side", _aggregation("concat"), _figures(74.3, 75.6, 84.9, 88.9, 0.10, 2.37)
        ),
        Row(
            "Transformer",
            "attention over all tokens",
            _aggregation("transformer"),
            _figures(76.5, 80.2, 87.7, 90.6, 1.36, 4.73),
        ),
        Row("Intra-MA", "scans inside modalities", _aggregation("intra"), _figures(76.2, 80.9, 88.2, 90.5, 0.71, 5.64)),
        Row("Inter-MA", "scans across modalities", _aggregation("inter"), _figures(77.5, 81.2, 88.6, 90.9, 0.71, 5.41)),
        Row("MA", "both scans", _aggregation("mamba"), _figures(78.9, 83.4, 89.8, 91.9, 1.42, 9.47)),
    ),
    "aggregation",
)

TABLE_7 = Table(
    "7",
    "Table 7, parameters (our row)",
    _PERSONS,
    (Row("MambaPro", "the whole model", _WHOLE, Figures(78.9, 83.4, params=74.20)),),
    "trained",
)

TABLE_8 = Table(
    "8",
    "Table 8, place of the adapter",
    _PERSONS,
    (
        Row("beside-FFN", "beside the FFN", _adapters(adapter_position="beside_ffn"), _figures(73.2, 76.4, 85.2, 88.2)),
        Row("behind-FFN", "behind the FFN", _adapters(adapter_position="behind_ffn"), _figures(46.9, 46.2, 63.4, 72.7)),
        Row(
            "beside-MHSA",
            "beside the attention",
            _adapters(adapter_position="beside_mhsa"),
            _figures(66.3, 67.2, 79.7, 84.2),
        ),
        Row(
            "behind-MHSA",
            "behind the attention",
            _adapters(adapter_position="behind_mhsa"),
            _figures(52.0, 52.3, 66.4, 72.8),
        ),
    ),
)

TABLE_9 = Table(
    "9",
    "Table 9, backbones",
    _PERSONS,
    (
        Row("ViT-L", "ViT of ImageNet, locked", _WHOLE, _figures(67.5, 71.3, 82.1, 88.6), backbone="vit"),
        Row(
            "ViT-F", "ViT of ImageNet, trained", _WHOLE, _figures(67.6, 70.2, 83.1, 87.4), frozen=False, backbone="vit"
        ),
        Row("CLIP-L", "CLIP locked", _WHOLE, _figures(78.9, 83.4, 89.8, 91.9)),
        Row("CLIP-F", "CLIP trained", _WHOLE, _figures(78.7, 83.5, 89.6, 92.9), frozen=False),
    ),
)

TABLE_10 = Table(
    "10",
    "Table 10, fully fine-tuned (our row)",
    _PERSONS,
    (
        Row(
            "MambaPro",
            "CLIP trained, PFA, SRP, MA",
            _WHOLE,
            _figures(78.7, 83.5, 89.6, 92.9, params=160.34),
            frozen=False,
        ),
    ),
    "trained",
)

TABLE_11 = Table(
    "11",
    "Table 11, blocks of the aggregation",
    _PERSONS,
    (
        Row(
            "MA-Trans",
            "attention instead of scans",
            _aggregation("ma_transformer"),
            _figures(77.0, 80.4, 88.4, 90.9, 1.81, 14.19),
        ),
        Row("MA-Mamba", "scans", _aggregation("mamba"), _figures(78.9, 83.4, 89.8, 91.9, 1.42, 9.47)),
    ),
    "aggregation",
)
