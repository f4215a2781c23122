"""Pictures of the findings with captions, alternative texts and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....common.figures import shortened
from ....runtime.data.modalities import MODALITIES
from .embedding import perplexity_for
from .page import Picture, Table
from .plot_embedding import Panel, plot_embedding
from .plot_gradcam import GradCamRow, plot_gradcam, signed
from .plot_similarity import plot_similarity
from .similarity import PairSimilarity
from .stages import AFTER, BEFORE


@dataclass(frozen=True)
class Findings:
    """Results of one checkpoint; a part that was not requested is empty.

    `points` and `silhouettes` are by stage; `place` describes the tokens of the gradient.
    """

    name: str
    rows: tuple[GradCamRow, ...]
    place: str
    points: dict[str, np.ndarray]
    silhouettes: dict[str, float]
    similarities: dict[str, tuple[PairSimilarity, ...]]


def gradcam_picture(result: Findings, file: str) -> Picture:
    """Draw figures 10 and 11 of the paper for one checkpoint."""
    shares = np.array([row.parts for row in result.rows])
    means = ", ".join(f"{name.upper()} {signed(share)}" for name, share in zip(MODALITIES, shares.mean(0), strict=True))
    margin = signed(shares.sum(1).mean())
    empty = sum(int(not weights.any()) for row in result.rows for weights in row.maps)
    caption = (
        f"What tells {len(result.rows)} samples from other identities, by {result.name}. The score is the margin: the "
        "sample's similarity to the mean of its identity's other samples, less its mean similarity to the other "
        f"identities. Its gradient is taken at {result.place}. Each image is next to its map; bright patches raise "
        "the margin, uncovered ones do not or lower it. Every map is scaled to its own largest value. The number over "
        "a map is what the modality adds to the margin, which stands in front of the row; on average "
        f"{means}, together {margin}."
    )
    if empty:
        caption += f" {empty} of {3 * len(result.rows)} maps are empty: nothing in the image raises the margin."
    rows = tuple(
        (
            row.sample.name,
            str(row.sample.identity),
            str(row.sample.camera),
            *(f"{part:+.4f}" for part in row.parts),
            f"{sum(row.parts):+.4f}",
        )
        for row in result.rows
    )
    return Picture(
        name=file,
        png=plot_gradcam(result.rows, f"Grad-CAM, {shortened(result.name)}"),
        heading=f"Where the evidence lies: {result.name}",
        alt=f"Grid of {len(result.rows)} rows. Each row shows the RGB, NIR and TIR image of one sample, each with a "
        "gray copy on which the patches with evidence for the identity are bright. "
        f"The mean margin is {margin}.",
        caption=caption,
        table=Table(
            "What each modality adds to the margin (cosine to the own identity less mean cosine to the others).",
            ("sample", "identity", "camera", *(name.upper() for name in MODALITIES), "margin"),
            rows,
        ),
        photo=True,
    )


def embedding_picture(findings: Sequence[Findings], labels: np.ndarray, file: str) -> Picture:
    """Draw figure 5 of the paper: all checkpoints side by side, stages in rows."""
    identities = len(np.unique(labels))
    panels = _panels(findings)
    rows = tuple(
        (found.name, stage, f"{value:.3f}") for found in findings for stage, value in found.silhouettes.items()
    )
    spoken = "; ".join(f"{name}, {stage}: {value}" for name, stage, value in rows)
    return Picture(
        name=file,
        png=plot_embedding(panels, labels),
        heading="How identities spread: t-SNE",
        alt=f"{len(panels)} scatter plots of {len(labels)} samples; a colour and a marker shape for each of "
        f"{identities} identities. Silhouettes: {spoken}.",
        caption=f"t-SNE of {len(labels)} samples of {identities} identities (perplexity "
        f"{perplexity_for(len(labels)):.0f}), one point for each sample: the class tokens of the three modalities side "
        "by side before aggregation (MA), the fused feature after it. t-SNE keeps neighbours, not distances between "
        "groups; the silhouette is computed in the features' own space by cosine distance: -1 is mixed, 1 apart.",
        table=Table("Silhouette of the identities.", ("checkpoint", "stage", "silhouette"), rows),
    )


def _panels(findings: Sequence[Findings]) -> list[Panel]:
    """Return the panels: for one checkpoint its stages side by side, for several a column each and a row per stage."""
    stages = [stage for stage in (BEFORE, AFTER) if any(stage in found.points for found in findings)]
    panels = []
    for column, found in enumerate(findings):
        for row, stage in enumerate(stages):
            letter = "abcdefghijklmnopqrstuvwxyz"[(row * len(findings) + column) % 26]
            value = found.silhouettes.get(stage)
            note = stage if value is None else f"{stage}, silhouette {value:.2f}"
            place = (0, row) if len(findings) == 1 else (row, column)
            panels.append(Panel(*place, f"({letter}) {shortened(found.name)}", note, found.points.get(stage)))
    return panels


def similarity_picture(result: Findings, file: str) -> Picture:
    """Draw figure 6 of the paper for one checkpoint."""
    rows = tuple(
        (
            f"{pair.first.upper()} and {pair.second.upper()}",
            stage,
            *(f"{value:.3f}" for value in (pair.same.mean(), pair.different.mean(), pair.auc)),
        )
        for stage, pairs in result.similarities.items()
        for pair in pairs
    )
    (first, *_), *_ = result.similarities.values()
    spoken = "; ".join(f"{pair}, {stage}: {same} and {other}, AUC {auc}" for pair, stage, same, other, auc in rows)
    return Picture(
        name=file,
        png=plot_similarity(result.similarities, f"Similarity across modalities, {shortened(result.name)}"),
        heading=f"How modalities align: {result.name}",
        alt="Distributions of cosines between modalities, for pairs of the same and of different identities. "
        f"Means of same and different: {spoken}.",
        caption="Cosine between the feature of one modality and that of another, over all pairs of samples: "
        f"{len(first.same):,} pairs of one identity (solid) and {len(first.different):,} of two (dashed) in each plot; "
        "vertical lines are means, and each row has an axis of its own. Before aggregation (MA) the features are the "
        "class tokens, after it the parts of the fused feature. AUC is the chance that a pair of one identity is more "
        "similar than a pair of two; 0.5 is none.",
        table=Table(
            "Mean cosines and AUC.",
            ("modalities", "stage", "same identity", "different", "AUC"),
            rows,
        ),
    )
