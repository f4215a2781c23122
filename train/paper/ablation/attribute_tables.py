"""Comparisons of attribute models: backbones, fusion with text, hybrids (https://arxiv.org/abs/2407.10374).

The paper's own figures are not known here, so the rows have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ....errors import InputError

#: Recipe of the teacher, and its run: the paper takes its epoch of the best F1, and rows are chosen by mA.
TEACHER, TEACHER_RUN, TEACHER_METRIC = "vit_b", "vit_b_teacher", "F1"


@dataclass(frozen=True)
class AttributeRow:
    """One row: the recipe, its title, the row that it is compared with, and whether a ViT is its teacher."""

    recipe: str
    title: str
    against: str | None = None
    taught: bool = False


@dataclass(frozen=True)
class AttributeTable:
    """Comparison of some recipes."""

    key: str
    title: str
    rows: tuple[AttributeRow, ...]

    def pick(self, names: Sequence[str]) -> tuple[AttributeRow, ...]:
        """Return the rows of these recipes in the table's order, all of them for no name.

        Raises:
            InputError: a name that the table does not have.
        """
        known = [row.recipe for row in self.rows]
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise InputError(f"{self.title} has no row {name!r}; it has {', '.join(known)}.{hint}")
        return tuple(row for row in self.rows if not names or row.recipe in names)


_VIM, _VMAMBA, _VIT = "image-only Vim-S", "image-only VMamba-B", "image-only ViT-B/16"
ATTRIBUTE_TABLES = {
    table.key: table
    for table in (
        AttributeTable(
            "par-backbones",
            "Backbones of attribute recognition",
            (
                AttributeRow("vit_b", _VIT),
                AttributeRow("vim_s", _VIM, "vit_b"),
                AttributeRow("vmamba_b", _VMAMBA, "vit_b"),
            ),
        ),
        AttributeTable(
            "par-fusion",
            "Fusion of image and text",
            (
                AttributeRow("vim_s", _VIM),
                AttributeRow("vsf_vim_s", "Vim-S with text, Mamba layers", "vim_s"),
                AttributeRow("textconv_vim_s", "Vim-S with text, token mixture", "vim_s"),
                AttributeRow("vmamba_b", _VMAMBA),
                AttributeRow("vsf_vmamba_b", "VMamba-B with text, Mamba layers", "vmamba_b"),
            ),
        ),
        AttributeTable(
            "par-hybrids",
            "Hybrids of Vim and ViT",
            (
                AttributeRow("vit_b", _VIT),
                AttributeRow("vim_s", _VIM, "vit_b"),
                AttributeRow("pafusion", "(a) parallel fusion", "vit_b"),
                AttributeRow("n_asf", "(b) Vim, then ViT", "vit_b"),
                AttributeRow("asf", "(c) groups in turns", "vit_b"),
                AttributeRow("maformer", "(d) Vim beside a frozen ViT", "vit_b", taught=True),
                AttributeRow("mahdft", "(e) Vim over all ViT blocks", "vit_b", taught=True),
                AttributeRow("adamtf", "(f) parallel, common adapters", "vit_b"),
                AttributeRow("kdtm", "(g) Vim taught by logits", "vit_b", taught=True),
                AttributeRow("makdf", "(h) Vim taught by tokens", "vit_b", taught=True),
            ),
        ),
    )
}
