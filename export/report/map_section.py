"""The precision map as a coloured table: blocks in rows, their parts in columns, the type in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .html import Html, folded, html, joined, paragraph, section
from .precision_map import Cell, PrecisionMap

_SHORT = {"fp32": "32", "fp16": "16", "bf16": "b16", "int8": "8"}
_MEANINGS = {
    "int8": "int8: scales and whole numbers, sums in int32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
}


def map_section(maps: Sequence[tuple[str, PrecisionMap]]) -> Html:
    """The maps by the names of the files that are built of them; the last, which differs most, stands open."""
    merged = _merged(maps)
    blocks = [_map(names, found) for names, found in merged]
    *others, last = blocks
    hidden = [folded(f"The map of {names}", block) for (names, _), block in zip(merged, others, strict=False)]
    return section(
        "precision",
        "Precision of each part",
        paragraph(
            "Read off the ONNX file that each artifact is, or was built from. The rows are blocks of the network, the "
            "columns what they compute. The scan keeps its state in float32 whatever its inputs are."
        ),
        _legend(found for _, found in maps),
        last,
        *hidden,
    )


def _merged(maps: Sequence[tuple[str, PrecisionMap]]) -> list[tuple[str, PrecisionMap]]:
    """Files of equal cells share a map."""
    found: dict[tuple[Cell, ...], tuple[list[str], PrecisionMap]] = {}
    for name, value in maps:
        found.setdefault(value.cells, ([], value))[0].append(name)
    return [(", ".join(names), value) for names, value in found.values()]


def _map(names: str, found: PrecisionMap) -> Html:
    told = f" Its runtime is told to compute in {found.hint} where the file says fp32." if found.hint else ""
    groups: dict[str, list[Cell]] = {}
    for cell in found.cells:
        groups.setdefault(cell.block.split(".")[0] if cell.block else "", []).append(cell)
    tables = [_grid(group, cells) for group, cells in groups.items() if group]
    if "" in groups:
        tables.append(_grid("", groups[""]))
    return joined(
        [Html(f"<h3>{escape(names)}</h3>"), paragraph(f"Weights by type.{told}", "soft"), _shares(found), *tables]
    )


def _grid(group: str, cells: Iterable[Cell]) -> Html:
    rows: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.block, {})[cell.part] = cell
    # in the order of the block that has most parts: the first block often lacks some
    columns = list(max(rows.values(), key=len))
    columns += [part for row in rows.values() for part in row if part not in columns]
    columns = list(dict.fromkeys(columns))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(_row_name(block))}</th>{"".join(_cell(row.get(part)) for part in columns)}</tr>'
        for block, row in rows.items()
    )
    caption = group if group else "outside the blocks"
    return Html(
        f'<div class="wide"><table class="map">\n<caption>{escape(caption)}</caption>\n'
        f'<thead><tr><th scope="col"><span hidden>block</span></th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
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
    return f'<td><span class="{kind}" title="{escape(title)}">{escape(shown)}</span></td>'


def _shares(found: PrecisionMap) -> Html:
    shares = found.shares()
    parts = "".join(
        f'<span class="{escape(name)}" style="flex:{value:.5f}">{escape(_share(name, value))}</span>'
        for name, value in shares.items()
    )
    told = ", ".join(f"{name} {value:.1%}" for name, value in shares.items())
    return Html(f'<div class="shares" role="img" aria-label="Weights by type: {escape(told)}">{parts}</div>')


def _share(name: str, value: float) -> str:
    return f"{name} {value:.1%}" if value > 0.12 else ""


def _legend(maps: Iterable[PrecisionMap]) -> Html:
    used = {name for found in maps for cell in found.cells for name in cell.types}
    items = "".join(
        f'<li><span class="{name}">{_SHORT[name]}</span>{html(meaning)}</li>'
        for name, meaning in _MEANINGS.items()
        if name in used
    )
    return Html(f'<ul class="legend">{items}</ul>')
