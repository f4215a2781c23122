"""The sections that hold pictures: ranked retrievals, sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...train.explain.page import image_tag
from .html import Column, Html, code, folded, html, joined, paragraph, section, table
from .sensitivity import PICTURES, Sensitivity

#: Rows of the ranking that stand as text.
_SHOWN = 12


@dataclass(frozen=True)
class StripPicture:
    """A ranked retrieval as a PNG, and what a reader who does not see it needs to know."""

    png: bytes
    query: str
    average_precision: float
    first_match: int
    right: int
    shown: int


def strips_section(strips: Sequence[StripPicture], file: str, dataset: str | None, quality: int | None) -> Html:
    """Queries and what was found for them."""
    if not strips:
        told = "The exported model did not run on this machine." if dataset else (
            "Labelled images are needed, and none were given: give --data and --dataset."
        )  # fmt: skip
        return section("strips", "Ranked retrievals", Html(f'<p class="missing">{html(told)}</p>'))
    intro = (
        f"Queries of {dataset} and their first {max(strip.shown for strip in strips)} by {file}: half of them the worst, "
        "the others spread up to the best. What is right has a solid green frame and a tick, what is wrong a dashed red "
        "frame and a cross."
    )
    return section("strips", "Ranked retrievals", paragraph(intro), *(_strip(strip, quality) for strip in strips))


def _strip(strip: StripPicture, quality: int | None) -> Html:
    text = (
        f"{strip.query}: average precision {100 * strip.average_precision:.1f} %, first match at rank "
        f"{strip.first_match}, {strip.right} of the first {strip.shown} right"
    )
    tag = image_tag(strip.png, f"Ranked retrieval of {text}", True, quality)
    return Html(f'<figure><div class="wide strip">{tag}</div><figcaption>{html(text)}</figcaption></figure>')


def sensitivity_section(found: Sensitivity | None) -> Html:
    """What each layer costs in int8, and the choices that are worth it."""
    if found is None:
        text = "No sensitivity analysis was given: give the folder that one wrote with --sensitivity."
        return section("sensitivity", "Sensitivity to int8", Html(f'<p class="missing">{html(text)}</p>'))
    ranking = found.ranking
    intro = (
        f"One {ranking.grouping} at a time in int8, all others in float, on {ranking.samples} calibration samples. The "
        "layers that cost most stand first."
    )
    alts = {
        PICTURES[0]: f"Layers ranked by what they cost in int8; the first is {ranking.entries[0].name}"
        if ranking.entries
        else "Layers ranked by what they cost in int8",
        PICTURES[1]: "Drop of mAP against time for choices of int8 layers",
    }
    captions = {PICTURES[0]: "What each costs alone.", PICTURES[1]: "What is worth it: drop of mAP against time."}
    figures = [
        Html(
            f"<figure>{image_tag(found.pictures[name], alts[name], False, None)}"
            f"<figcaption>{html(captions[name])}</figcaption></figure>"
        )
        for name in PICTURES
    ]
    policy = folded(joined(["The policy that was chosen"]), Html(f"<pre>{code(found.policy)}</pre>"))
    return section("sensitivity", "Sensitivity to int8", paragraph(intro), *figures, _ranked(found), policy)


def _ranked(found: Sensitivity) -> Html:
    columns = [Column(found.ranking.grouping), Column("mean 1 - cosine"), Column("largest"), Column("mAP drop, points"),
               Column("share of work")]  # fmt: skip
    whole = sum(entry.work for entry in found.ranking.entries) or 1
    rows = [
        [entry.name, f"{entry.loss.mean:.1e}", f"{entry.loss.largest:.1e}",
         "" if entry.loss.map_drop is None else f"{100 * entry.loss.map_drop:+.2f}", f"{entry.work / whole:.1%}"]
        for entry in found.ranking.entries[:_SHOWN]
    ]  # fmt: skip
    return table(f"The first {len(rows)} of {len(found.ranking.entries)}", columns, rows)
