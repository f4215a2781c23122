"""The sections that hold pictures: ranked retrievals, sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...train.paper.explain.page import image_tag
from .html import Column, Html, badge, code, folded, html, missing, paragraph, points, section, small, table
from .sensitivity_folder import PICTURES, Sensitivity, StoredLoss, StoredPareto, StoredRanking

_WITHOUT_DATA = "Labelled images are needed, and none were given: --data and --dataset name them."
_LOSS_COLUMNS = (Column("median 1 - cosine"), Column("mean"), Column("largest"), Column("mAP drop, points"))
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
        told = "No file of the bundle could be evaluated on this machine." if dataset else _WITHOUT_DATA
        return section("strips", "Ranked retrievals", missing(told))
    intro = (
        f"Queries of {dataset} and their first {max(strip.shown for strip in strips)} by {file}: half of them the "
        "worst, the others spread up to the best. What is right has a solid green frame and a tick, what is wrong a "
        "dashed red frame and a cross."
    )
    return section("strips", "Ranked retrievals", paragraph(intro), *(_strip(strip, quality) for strip in strips))


def _strip(strip: StripPicture, quality: int | None) -> Html:
    text = (
        f"{strip.query}: average precision {100 * strip.average_precision:.1f} %, first match at rank "
        f"{strip.first_match}, {strip.right} of the first {strip.shown} right"
    )
    tag = image_tag(strip.png, f"Ranked retrieval of {text}", True, quality, scale=1.0)
    return Html(f'<figure><div class="wide strip">{tag}</div><figcaption>{html(text)}</figcaption></figure>')


def sensitivity_section(found: Sensitivity | None, model: str) -> Html:
    """What each layer costs in int8, and the choices that are worth it; `model` is the SHA-256 of the bundle's."""
    name, heading = "sensitivity", "Sensitivity to int8"
    if found is None:
        return section(name, heading, missing("No sensitivity analysis was given: --sensitivity takes its folder."))
    ranking, pareto = found.ranking, found.pareto
    intro = (
        f"One {ranking.grouping} at a time in int8, all others in floating point, on {ranking.samples} calibration "
        f"samples; then from all in int8 to all in floating point, timed in {pareto.target} with batches of "
        f"{pareto.batch}."
    )
    other = [missing("This analysis is of another ONNX file than the bundle's own.")] if found.model != model else []
    ranked, curve = (_figure(found, number) for number in range(len(PICTURES)))
    policy = folded("The policy that was chosen", Html(f"<pre>{code(found.policy)}</pre>"))
    parts = (*other, paragraph(intro), ranked, _ranked(found.ranking), curve, _points(pareto), policy)
    return section(name, heading, *parts)


def _figure(found: Sensitivity, number: int) -> Html:
    first, choice = found.ranking.entries[0], found.pareto.points[found.pareto.chosen]
    alt, caption = (
        (f"Bars of what each costs in int8; the longest is {first.name}", "What each costs alone in int8."),
        (
            f"Accuracy lost against milliseconds; chosen is the point at {choice.milliseconds:.1f} ms",
            "What is worth it: what a choice loses against the time it takes.",
        ),
    )[number]
    tag = image_tag(found.pictures[PICTURES[number]], alt, False, None)
    return Html(f"<figure>{tag}<figcaption>{html(caption)}</figcaption></figure>")


def _ranked(ranking: StoredRanking) -> Html:
    columns = [
        Column(ranking.grouping), *_LOSS_COLUMNS, Column("share of work"),
    ]  # fmt: skip
    whole = sum(entry.work for entry in ranking.entries) or 1
    rows = [[entry.name, *_loss(entry.loss), f"{entry.work / whole:.1%}"] for entry in ranking.entries[:_SHOWN]]
    return table(f"The first {len(rows)} of {len(ranking.entries)}", columns, rows)


def _points(pareto: StoredPareto) -> Html:
    columns = [
        Column("in floating point"), *_LOSS_COLUMNS, Column("work in int8"), Column("ms"), Column("", "text"),
    ]  # fmt: skip
    rows = [
        [f"{len(point.floats)} of {len(pareto.order)}", *_loss(point.loss), f"{point.share:.0%}",
         f"{point.milliseconds:.2f}", badge("chosen", "yes") if number == pareto.chosen else ""]
        for number, point in enumerate(pareto.points)
    ]  # fmt: skip
    limits = f"mAP drop {100 * pareto.limits.map_drop:.2f} points, largest 1 - cosine {pareto.limits.departure:.0e}"
    return table(f"The choices that were measured; the limits were {limits}", columns, rows)


def _loss(loss: StoredLoss) -> tuple[str, str, str, str]:
    drop = "-" if loss.map_drop is None else points(loss.map_drop)
    return small(loss.median), small(loss.mean), small(loss.largest), drop
