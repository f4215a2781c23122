"""Implementation of `mambapro report`: measure a bundle on this machine and write one page about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...common.files.atomic import write_atomically
from ...common.files.locks import temporary_folder
from ...common.files.targets import require_free
from ...common.progress import Track, silent
from ...errors import InputError
from ...runtime.bundle.artifact import Sidecar
from ...runtime.bundle.bundle import Bundle
from ...runtime.data.readers.benchmarks import read_benchmark, require_benchmark_of
from ...runtime.environment import environment_report
from ...runtime.evaluation.gates.task_metrics import metric_of
from ...runtime.evaluation.latency import MODEL_ONLY
from ...runtime.evaluation.retrieval.strip_folder import LISTING
from ...runtime.suited import warn_of_other_benchmark
from ...runtime.verification.listed_files import verify_files
from ..pytorch.parity_report import ParityReport, read_parity
from .bundle_report import BundleReport, FileReport
from .measure import Measured, Plan, measure_all
from .page import page_of
from .precision_map import INT8, precision_map
from .readiness import Rival, judge, parity_gate
from .sensitivity_folder import read_sensitivity
from .task_views import VIEWS, TaskView


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        bundle: folder of the bundle.
        data, dataset: root folder and name of the benchmark that accuracy is measured on; both or none.
        sensitivity: folder of a sensitivity analysis.
        out: page to write.
        runs: timed calls of each batch size.
        batches: batch sizes to time.
        strips: queries to draw.
        bootstrap: resamples of the queries; 0 = no intervals.
        seed: of the resamples.
        overwrite: replace `out`.

    Raises:
        InputError: a number that cannot be meant, or one of data and dataset without the other.
    """

    bundle: Path
    data: Path | None = None
    dataset: str | None = None
    sensitivity: Path | None = None
    out: Path = Path("report.html")
    runs: int = 30
    batches: tuple[int, ...] = (1,)
    strips: int = 6
    bootstrap: int = 1000
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.data is None) != (self.dataset is None):
            raise InputError("--data and --dataset belong together: the folder of a benchmark, and which one it is.")
        if self.runs < 1 or not self.batches or min(self.batches) < 1 or self.strips < 1:
            raise InputError(
                f"A report needs runs, batches and strips of at least 1, not {self.runs}, {list(self.batches)} and "
                f"{self.strips}."
            )
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"The report is an HTML page; name it like report.html, not {self.out.name!r}.")


def report_bundle(options: ReportOptions, track: Track = silent) -> BundleReport:
    """Check, measure and describe a bundle, and write the page.

    Every file is included; files that do not run here are listed with the reason.

    Raises:
        InputError: an unusable bundle, benchmark or folder, a benchmark of another task, or `out` exists.
        ArtifactError: the bundle or the sensitivity analysis is damaged.
        SetupError: the disk is full or permission is missing.
    """
    require_free(options.out, options.overwrite)
    bundle = Bundle.open(options.bundle)
    if options.dataset is not None:
        require_benchmark_of(bundle.metadata.task, options.dataset)
    verify_files(bundle, track)
    sensitivity = None if options.sensitivity is None else read_sensitivity(options.sensitivity)
    parity, artifacts = read_parity(bundle), bundle.artifacts
    warn_of_other_benchmark(bundle.metadata, options.dataset)
    benchmark = (
        read_benchmark(options.dataset, options.data, test_only=True) if options.dataset and options.data else None
    )
    # pictures of a killed run are removed by the next one
    with temporary_folder("report") as folder:
        strips = folder / "strips"
        view = VIEWS[bundle.metadata.task]
        evaluation = view.options(bundle.metadata, options.bootstrap, options.seed, strips, options.strips)
        plan = Plan(benchmark, evaluation, options.batches, options.runs)
        measured = measure_all(bundle, artifacts, plan, track)
        pictures = _strips(strips, view, options.strips)
    report = BundleReport(
        bundle=bundle.folder.resolve().name,
        metadata=bundle.metadata,
        parity=parity,
        files=_files(bundle, artifacts, measured, parity),
        dataset=options.dataset,
        batches=options.batches,
        runs=options.runs,
        sensitivity=sensitivity,
        environment=environment_report(),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    text = page_of(report, pictures)
    write_atomically(options.out, lambda path: path.write_text(text, encoding="utf-8"), overwrite=options.overwrite)
    return replace(report, page=str(options.out), page_bytes=len(text.encode()))


def _files(
    bundle: Bundle, artifacts: Sequence[Sidecar], measured: Sequence[Measured], parity: ParityReport
) -> tuple[FileReport, ...]:
    files = []
    for i, (sidecar, found) in enumerate(zip(artifacts, measured, strict=True)):
        cosine = sidecar.cosine if i else parity_gate(parity)
        rival = _rival(sidecar, found, artifacts, measured)
        verdict = judge(sidecar, cosine, found, rival, metric_of(bundle.metadata).gated)
        # an ignored hint has no effect
        with bundle.named_copy(sidecar.onnx) as file:
            found_map = precision_map(file, None if found.other_type else sidecar.hint)
        files.append(FileReport(sidecar, cosine, verdict, found_map, found))
    return tuple(files)


def _rival(
    sidecar: Sidecar, found: Measured, artifacts: Sequence[Sidecar], measured: Sequence[Measured]
) -> Rival | None:
    """Return the fastest file here of the target in a higher precision than int8, at the first common batch.

    An engine that does not support a batch is timed at another, and the two are not comparable.
    """
    for batch in found.batches:
        rivals = [
            Rival(time.p50, other.stem, batch, time.rounds)
            for other, one in zip(artifacts, measured, strict=True)
            if other.target == sidecar.target and other.precision != INT8
            if (time := one.timing(MODEL_ONLY, batch)) is not None
        ]
        if rivals:
            return min(rivals)
    return None


def _strips(folder: Path, view: TaskView, count: int) -> list[Any]:
    """Return the pictures of the evaluation; none if it did not reach them."""
    if not folder.is_dir():
        return []
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    entries = view.chosen(listing["strips"], count)
    return [view.picture(entry, (folder / entry["file"]).read_bytes()) for entry in entries]
