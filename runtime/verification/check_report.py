"""Report of `mambapro check`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...common.foreign_text import escaped, shown_text
from ...common.records import NOT_STORED, Report
from ...common.tables import text_table


@dataclass(frozen=True)
class ArtifactCheck:
    """Result of one artifact on this machine: its distances to PyTorch, or the reason for skipping it.

    `newly_verified`: it was built where it could not run, and this machine is the first to verify it. `notes`: what was
    not verified, and why.
    """

    artifact: str
    limit: float
    provider: str | None = None
    largest_departure: float | None = None
    mean_departure: float | None = None
    largest_difference: float | None = None
    map_drop: float | None = None
    newly_verified: bool = False
    not_run: str | None = None
    notes: tuple[str, ...] = ()
    measure: str = "1 - cosine"
    metric: str = "mAP"

    def __str__(self) -> str:
        if self.largest_departure is None:
            return f"not run: {escaped(self.not_run or '')}"
        drop = "" if self.map_drop is None else f", {self.metric} drop {100 * self.map_drop:.2f} points"
        note = "".join(f"; {text}" for text in (*["verified now"] * self.newly_verified, *self.notes))
        return (
            f"{self.measure} at most {self.largest_departure:.2e}, mean {self.mean_departure:.2e} "
            f"(limit {self.limit:.0e}){drop}, on {self.provider}{note}"
        )


@dataclass(frozen=True)
class CheckReport(Report):
    """Result of a bundle that passed: unchanged files, and PyTorch's numbers from every artifact that runs here.

    `samples` counts the goldens. `ignored` are files of file managers in the folder. `embeds`: the fingerprint is that
    of a feature space.
    """

    bundle: str
    name: str
    fingerprint: str
    files: int
    samples: int
    artifacts: tuple[ArtifactCheck, ...]
    ignored: tuple[str, ...] = ()
    embeds: bool = field(default=True, metadata=NOT_STORED)

    def __str__(self) -> str:
        rows = (
            ("bundle", escaped(f"{self.bundle} ({self.name})")),
            ("feature space" if self.embeds else "fingerprint", self.fingerprint[:16]),
            ("files", f"{self.files} hashes agree"),
            *([("ignored", shown_text(", ".join(self.ignored)))] * bool(self.ignored)),
            ("goldens", f"{self.samples} samples replayed"),
            *((item.artifact, str(item)) for item in self.artifacts),
        )
        return text_table(rows, "<")
