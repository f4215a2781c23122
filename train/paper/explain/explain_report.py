"""Report of `mambapro explain`: the numbers of the pictures."""

from __future__ import annotations

from dataclasses import dataclass

from ....common.foreign_text import escaped
from ....common.records import Report
from ....common.tables import text_table
from .similarity import PairSimilarity


@dataclass(frozen=True)
class StageReport(Report):
    """Numbers of one stage of one checkpoint: silhouette of the identities, three pairs of modalities; None: absent."""

    stage: str
    silhouette: float | None
    pairs: tuple[PairSimilarity, ...] | None


@dataclass(frozen=True)
class GradCamReport(Report):
    """One row of a Grad-CAM picture.

    `parts` are the contributions of rgb, nir and tir to the margin: cosine to the own identity less mean cosine to the
    others.
    """

    sample: str
    identity: int
    camera: int
    parts: tuple[float, float, float]
    also = ("margin",)

    @property
    def margin(self) -> float:
        """Similarity of the sample to its own identity less that to the others."""
        return sum(self.parts)


@dataclass(frozen=True)
class CheckpointReport(Report):
    """Results of one checkpoint under its name in the pictures."""

    name: str
    path: str
    stages: tuple[StageReport, ...]
    gradcam: tuple[GradCamReport, ...]


@dataclass(frozen=True)
class ExplainReport(Report):
    """Complete report. `files` are the names in the folder `out`; `page_bytes` is the size of its page."""

    out: str
    dataset: str
    identities: int
    samples: int
    seed: int
    device: str
    checkpoints: tuple[CheckpointReport, ...]
    files: tuple[str, ...]
    page_bytes: int

    def __str__(self) -> str:
        rows = [("checkpoint", "stage", "silhouette", "same", "different", "AUC")]
        rows += [_line(checkpoint.name, stage) for checkpoint in self.checkpoints for stage in checkpoint.stages]
        lines = [
            f"{escaped(self.out)}: {', '.join(self.files)}; page of {self.page_bytes / 1e6:.1f} MB",
            f"{self.dataset}: {self.samples} samples of {self.identities} identities, {self.device}",
        ]
        return "\n".join([*lines, text_table(rows, "<<>")])


def _line(name: str, stage: StageReport) -> tuple[str, str, str, str, str, str]:
    """Return a table row; cosines and AUC are means over the three pairs of modalities."""
    silhouette = "-" if stage.silhouette is None else f"{stage.silhouette:.3f}"
    if stage.pairs is None:
        return name, stage.stage, silhouette, "-", "-", "-"
    same, different, auc = (
        sum(values) / len(stage.pairs)
        for values in zip(*((p.same.mean(), p.different.mean(), p.auc) for p in stage.pairs), strict=True)
    )
    return name, stage.stage, silhouette, f"{same:.3f}", f"{different:.3f}", f"{auc:.3f}"
