"""The precision map as a coloured table: blocks in rows, their parts in columns, the type in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...common.foreign_text import in_html
from .html import Html, folded, html, joined, paragraph, section
from .precision_map import INT8, Cell, PrecisionMap

_SHORT = {"fp32": "32", "fp16": "16", "bf16": "b16", "int8": "8"}
#: Share of a bar in which its name can be read.
_LEGIBLE = 0.12
_MEANINGS = {
    "int8": "int8, products summed up in int32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
}


def map_section(maps: Mapping[str, PrecisionMap], choice: str) -> Html:
    """The maps by the names of the files that are made of them; those of `choice` and in int8 stand open."""
    merged = _merged(maps)
    opened = [choice in names or INT8 in found.shares() for names, found in merged]
    shown = [_map(*one) for one, is_open in zip(merged, opened, strict=True) if is_open]
    others = [folded(_summary(*one), _map(*one)) for one, is_open in zip(merged, opened, strict=True) if not is_open]
    text = (
        "Read off the ONNX file that each artifact is, or was built from. Rows are blocks of the network, columns what "
        "they compute. The scan keeps its state in float32 whatever its inputs are."
    )
    legend = _legend(name for found in maps.values() for cell in found.cells for name in cell.types)
    return section("precision", "Precision of each part", paragraph(text), legend, *shown, *others)


def _merged(maps: Mapping[str, PrecisionMap]) -> list[tuple[list[str], PrecisionMap]]:
    """Files of equal cells share a map."""
    found: dict[tuple[Cell, ...], tuple[list[str], PrecisionMap]] = {}
    for name, value in maps.items():
        found.setdefault(value.cells, ([], value))[0].append(name)
    return list(found.values())


def _summary(names: Sequence[str], found: PrecisionMap) -> str:
    return f"{', '.join(names)}: {_told(found)}"


def _told(found: PrecisionMap) -> str:
    return ", ".join(f"{value:.1%} {name}" for name, value in found.shares().items())


def _map(names: Sequence[str], found: PrecisionMap) -> Html:
    groups: dict[str, list[Cell]] = {}
    for cell in found.cells:
        groups.setdefault(cell.block.split(".")[0], []).append(cell)
    # what belongs to no block comes last
    tables = [_grid(group, groups[group]) for group in sorted(groups, key=lambda group: not group)]
    told = "Weights of Linears and convolutions by type."
    if found.hint is not None:
        told += (
            f" The file holds float32; its runtime is told to compute in {found.hint}, and does so in matrix products "
            "and convolutions. The rest is its own choice."
        )
    return joined([
        Html(f"<h3>{in_html(', '.join(names))}</h3>"), paragraph(told, "soft"), _shares(found),
        Html(f'<div class="maps">{joined(tables)}</div>'),
    ])  # fmt: skip


def _grid(group: str, cells: Sequence[Cell]) -> Html:
    rows: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.block, {})[cell.part] = cell
    # in the order of the block that has most parts: the first block often lacks some
    fullest = max(rows.values(), key=lambda row: len(row))
    columns = list(dict.fromkeys([*fullest, *(cell.part for cell in cells)]))
    heads = "".join(f'<th scope="col">{in_html(name)}</th>' for name in columns)
    body = "\n".join(
        f'<tr><th scope="row">{in_html(_row_name(block))}</th>{"".join(_cell(row.get(part)) for part in columns)}</tr>'
        for block, row in rows.items()
    )
    return Html(
        f'<div class="wide"><table class="map">\n<caption>{in_html(group or "outside the blocks")}</caption>\n'
        f"<thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row_name(block: str) -> str:
    return " ".join(block.split(".")[1:]) or "model"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    types = " and ".join(cell.types)
    weights = f", {cell.weights:,} weights" if cell.weights else ""
    title = f"{cell.block}{'.' if cell.block else ''}{cell.part}: {types}{weights}"
    kind = cell.types[0] if len(cell.types) == 1 and cell.types[0] in _SHORT else "mixed"
    shown = "/".join(_SHORT.get(name, "?") for name in cell.types)
    return f'<td><span class="{kind}" title="{in_html(title)}">{in_html(shown)}</span></td>'


def _shares(found: PrecisionMap) -> Html:
    shares = found.shares()
    parts = "".join(
        f'<span class="{in_html(name)}" style="flex:{value:.5f}">{in_html(_share(name, value))}</span>'
        for name, value in shares.items()
    )
    label = f"Weights by type: {_told(found)}"
    return Html(f'<div class="shares" role="img" aria-label="{in_html(label)}">{parts}</div>')


def _share(name: str, value: float) -> str:
    return f"{name} {value:.1%}" if value > _LEGIBLE else ""


def _legend(types: Iterable[str]) -> Html:
    used = set(types)
    items = "".join(
        f'<li><span class="{name}">{_SHORT[name]}</span>{html(meaning)}</li>'
        for name, meaning in _MEANINGS.items()
        if name in used
    )
    return Html(f'<ul class="legend">{items}</ul>')
