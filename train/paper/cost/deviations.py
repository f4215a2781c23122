"""Explanations of figures that differ from the paper's."""

from __future__ import annotations

_WHOLE = (
    "all values of the parts, two MA blocks as in the code; the paper's figure is 0.025 M more, which is the number of "
    "running statistics of MA's BatchNorm (24,576) if those are counted"
)
_HALF = "0.7039 here, 0.707 with the norms, which are left out (5 for each value of LayerNorm, 2 of BatchNorm)"
_MA = "1.42 is the sum of the two rounded halves; the figures are for one block, the model has two (17.36 M, 2.81 G)"

_NOTES: dict[tuple[str, str], str] = {
    **{(table, "F"): _WHOLE for table in ("3", "12")},
    **{(table, "G"): _WHOLE for table in ("3", "12")},
    ("7", "MambaPro"): _WHOLE,
    ("10", "MambaPro"): _WHOLE,
    (
        "4",
        "SP",
    ): "0.28 either way: here each transfer runs once for all streams, in the authors' code once for each stream",
    ("4", "SRP-separation"): (
        "the paper's 3.55 is cut, not rounded; its operations move each prompt once for each receiving stream (0.007 G "
        "more), here once"
    ),
    (
        "4",
        "SRP-fusion",
    ): "the paper's operations move each prompt once for each receiving stream (0.007 G more), here once",
    ("5", "LoRA-384"): "2 x 768 x 384 values are 0.59 M; 0.60 is not explained",
    ("5", "BNA"): "2 x 768 x 384 values and biases are 0.59 M; 0.60 is not explained",
    ("6", "Sum"): "three products of 1024 x 512; 0.0016 G, the paper seems to round up",
    ("6", "Intra-MA"): _HALF,
    ("6", "Inter-MA"): _HALF,
    ("6", "MA"): _MA,
    ("11", "MA-Mamba"): _MA,
    ("11", "MA-Trans"): (
        "1.81 is what comes out when attention's q, k, v projections and its two products are left out; table 6's "
        "Transformer has them in its 1.36"
    ),
}


def note(table: str, row: str) -> str:
    """Return the explanation of a row, empty where the figures agree."""
    return _NOTES.get((table, row), "")
