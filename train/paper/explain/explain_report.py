"""Report of `mambapro explain`: the numbers of the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....common.foreign_text import escaped
from ....common.tables import text_table
from .similarity import PairSimilarity


@dataclass(frozen=True)
class StageReport:
    """Numbers of one stage of one checkpoint: silhouette of the identities, three pairs of modalities; None: absent."""

    stage: str
    silhouette: float | None
    pairs: tuple[PairSimilarity, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        pairs = None if self.pairs is None else [pair.to_json() for pair in self.pairs]
        return {"stage": self.stage, "silhouette": self.silhouette, "pairs": pairs}


@dataclass(frozen=True)
class GradCamReport:
    """One row of a Grad-CAM picture.

    `parts` are the contributions of rgb, nir and tir to the margin: cosine to the own identity less mean cosine to the
    others.
    """

    sample: str
    identity: int
    camera: int
    parts: tuple[float, float, float]

    @property
    def margin(self) -> float:
        """Similarity of the sample to its own identity less that to the others."""
        return sum(self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "sample": self.sample,
            "identity": self.identity,
            "camera": self.camera,
            "parts": list(self.parts),
            "margin": self.margin,
        }


@dataclass(frozen=True)
class CheckpointReport:
    """Results of one checkpoint under its name in the pictures."""

    name: str
    path: str
    stages: tuple[StageReport, ...]
    gradcam: tuple[GradCamReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain nested values."""
        return {
            "name": self.name,
            "path": self.path,
            "stages": [stage.to_json() for stage in self.stages],
            "gradcam": [row.to_json() for row in self.gradcam],
        }


@dataclass(frozen=True)
class ExplainReport:
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

    def to_json(self) -> dict[str, Any]:
        """Return plain nested values."""
        return {
            "out": self.out,
            "dataset": self.dataset,
            "identities": self.identities,
            "samples": self.samples,
            "seed": self.seed,
            "device": self.device,
            "checkpoints": [checkpoint.to_json() for checkpoint in self.checkpoints],
            "files": list(self.files),
            "page_bytes": self.page_bytes,
        }

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
