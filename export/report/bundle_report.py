"""Report of a bundle as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...common.foreign_text import escaped
from ...common.records import NOT_STORED, Report
from ...common.tables import text_table
from ...runtime.bundle.artifact import CosineGate, Sidecar
from ...runtime.bundle.metadata import BundleMetadata
from ...runtime.environment import EnvironmentReport
from ...runtime.evaluation.gates.agreement import agreement_of
from ...runtime.evaluation.gates.task_metrics import metric_of
from ...runtime.evaluation.latency import END_TO_END
from ..pytorch.parity_report import ParityReport
from .measure import Measured
from .precision_map import PrecisionMap
from .readiness import OPEN, READY, REFUSED, Verdict
from .sensitivity_folder import Analysis
from .task_views import VIEWS


@dataclass(frozen=True)
class FileReport(Report):
    """Report of one loadable file of a bundle. `cosine` is its gate at build time."""

    sidecar: Sidecar
    cosine: CosineGate | None
    verdict: Verdict
    map: PrecisionMap
    measured: Measured

    @property
    def name(self) -> str:
        """Target and precision, such as "openvino-int8"."""
        return self.sidecar.stem

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"name": self.name, **super().to_json(), "sidecar": self.sidecar.to_json()}


@dataclass(frozen=True)
class BundleReport(Report):
    """Report of a bundle with its files, the exported model first.

    Attributes:
        bundle: name of its folder.
        metadata: what the bundle says of itself.
        parity: the export's gate.
        files: every loadable file.
        dataset: benchmark that accuracy was measured on; None without one.
        batches, runs: what was timed.
        sensitivity: what was read of an analysis; None without one.
        environment: this machine.
        made: UTC time of the report, ISO 8601.
        page: file that was written.
        page_bytes: its size.
    """

    bundle: str
    metadata: BundleMetadata = field(metadata=NOT_STORED)
    parity: ParityReport
    files: tuple[FileReport, ...]
    dataset: str | None
    batches: tuple[int, ...]
    runs: int
    sensitivity: Analysis | None
    environment: EnvironmentReport
    made: str
    page: str = ""
    page_bytes: int = 0

    @property
    def metric(self) -> str:
        """Name of the value that stands for the accuracy."""
        return metric_of(self.metadata).name

    @property
    def state(self) -> str:
        """READY if some file is, else OPEN if some file is, else REFUSED."""
        states = {file.verdict.state for file in self.files}
        return next(state for state in (READY, OPEN, REFUSED) if state in states)

    @property
    def choice(self) -> FileReport:
        """File to deploy: of those in the best state the fastest measured here; the first if none was."""
        best = [file for file in self.files if file.verdict.state == self.state]
        times = [(file.measured.milliseconds(END_TO_END, self.batches[0]), i) for i, file in enumerate(best)]
        measured = [(time, i) for time, i in times if time is not None]
        return best[min(measured)[1] if measured else 0]

    def to_json(self) -> dict[str, Any]:
        """Return plain nested values, with the fingerprint in place of the metadata."""
        fingerprint = self.metadata.fingerprint
        return {"state": self.state, "choice": self.choice.name, "feature_space": fingerprint, **super().to_json()}

    def __str__(self) -> str:
        rows = [
            ("file", "verdict", agreement_of(self.metadata).name, self.metric, "ms, p50 (rounds)"),
            *(self._cells(file) for file in self.files),
        ]
        reasons = [f"{file.name}: {reason}" for file in self.files for reason in file.verdict.reasons]
        problems = [f"{file.name} did not run here: {why}" for file in self.files if (why := file.measured.not_run)]
        busy = [
            f"{file.name}: {text}"
            for file in self.files
            if file.measured.latency is not None
            for text in file.measured.latency.warnings
        ]
        wrote = f"wrote {escaped(self.page)} ({self.page_bytes / 1e6:.1f} MB)"
        return "\n".join([text_table(rows, "<<>"), *reasons, *problems, *busy, wrote])

    def _cells(self, file: FileReport) -> tuple[str, str, str, str, str]:
        measured = file.measured
        cosine = measured.cosine or file.cosine
        time = measured.timing(END_TO_END, self.batches[0])
        return (
            file.name,
            file.verdict.state,
            "-" if cosine is None else f"{cosine.largest:.1e}",
            "-" if measured.accuracy is None else f"{VIEWS[self.metadata.task].value(measured.accuracy):.1%}",
            "-" if time is None else f"{time.p50:.1f} ({time.spread.low:.1f} to {time.spread.high:.1f})",
        )
