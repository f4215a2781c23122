"""The sections below the first screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...runtime.data.readers.benchmarks import BENCHMARKS
from ...runtime.evaluation.latency import Timing
from ...runtime.evaluation.retrieval.report import PART, EvaluationReport, EvaluationRow, percent
from .bundle_report import BundleReport, FileReport
from .html import Column, Html, code, facts, missing, paragraph, points, section, table, track
from .measure import ROUNDS, Difference
from .stored import StoredParity

#: The smallest departure that the logarithmic axis shows: below it is the noise of float64.
_DECADES = (-14.0, 0.0)


def accuracy_section(report: BundleReport) -> Html:
    """mAP of each file, for all sensors, each incomplete set of them, and each third of the feature."""
    found = [(file.name, accuracy) for file in report.files if (accuracy := file.measured.accuracy) is not None]
    built = [_built(file) for file in report.files if file.sidecar.accuracy is not None]
    if not found:
        return section("accuracy", "Retrieval accuracy", _unmeasured(report), *built)
    first, intervals = found[0][1], found[0][1].rows[0].intervals
    text = (
        f"{first.dataset}: {first.whole.queries} queries, gallery of {first.gallery}; images of the query's identity "
        f"and {first.junk} do not count."
    )
    if intervals is not None:
        text += (
            f" Bars are {100 * intervals.level:g} % intervals from {intervals.resamples} bootstrap resamples of the "
            f"queries, seed {intervals.seed}. Queries of one identity resemble each other: with few identities the "
            "true uncertainty is larger."
        )
    return section("accuracy", "Retrieval accuracy", paragraph(text), _accuracy_table(found), _paired(report), *built)


def _unmeasured(report: BundleReport) -> Html:
    if report.dataset is not None:
        return missing("No file of the bundle could be evaluated on this machine; the reasons stand above.")
    return missing(
        "Labelled images are needed, and none were given, so nothing was measured here. Give the folder of a "
        "benchmark and its name: ",
        code(f"mambapro report {report.bundle} --data DATA --dataset {'|'.join(BENCHMARKS)}"),
    )


def _built(file: FileReport) -> Html:
    gate = file.sidecar.accuracy
    assert gate is not None
    return paragraph(
        f"When {file.name} was made: mAP {percent(gate.found)} on {gate.dataset} ({gate.queries} queries), a drop of "
        f"{points(gate.drop)} points, 95 % interval {points(gate.low)} to {points(gate.high)}, limit "
        f"{100 * gate.limit:.2f}.",
        "soft",
    )


def _accuracy_table(reports: Sequence[tuple[str, EvaluationReport]]) -> Html:
    columns = [
        Column("sensors"), Column("file", "text"), Column("mAP, 0 to 100 %", "track"), Column("mAP"),
        Column("95 %"), Column("Rank-1"), Column("Rank-5"), Column("mINP"),
    ]  # fmt: skip
    rows = []
    for i, first in enumerate(reports[0][1].rows):
        name = f"third of {first.sensors}" if first.kind == PART else first.sensors
        rows += [_accuracy_row("" if n else name, file, report.rows[i]) for n, (file, report) in enumerate(reports)]
    caption = (
        "Sensors that a row does not name are missing from query and gallery. A third is that part of the feature, "
        "with all sensors present."
    )
    return table(caption, columns, rows)


def _accuracy_row(name: str, file: str, row: EvaluationRow) -> list[str]:
    report, intervals = row.report, row.intervals
    low, high = (intervals.map.low, intervals.map.high) if intervals else (0.0, report.map)
    return [
        name, file, track(low, high, report.map), percent(report.map), str(intervals.map) if intervals else "",
        percent(report.rank(1)), percent(report.rank(5)), percent(report.minp),
    ]  # fmt: skip


def _paired(report: BundleReport) -> Html:
    """The difference of every other file to the exported model, query by query."""
    found = [(file.name, file.measured.against_base) for file in report.files if file.measured.against_base]
    if not found:
        return Html("")
    columns = [Column("file"), *(Column(difference.name) for difference in found[0][1])]
    rows = [[name, *(_difference(difference) for difference in differences)] for name, differences in found]
    intervals = "" if found[0][1][0].low is None else ", with 95 % intervals"
    return table(f"Points more than {report.files[0].name}{intervals}, on the same queries", columns, rows)


def _difference(found: Difference) -> Html:
    if found.low is None or found.high is None:
        return Html(points(found.difference))
    return Html(f"{points(found.difference)}<small>{points(found.low)} to {points(found.high)}</small>")


def latency_section(report: BundleReport) -> Html:
    """Percentiles of every file that runs here."""
    found = [
        (file, timing) for file in report.files if file.measured.latency for timing in file.measured.latency.timings
    ]
    if not found:
        return section("latency", "Latency", missing("No file of the bundle ran on this machine."))
    longest = max(timing.p99 for _, timing in found)
    columns = [
        Column("file"), Column("scope", "text"), Column("batch"), Column(f"p50 to p99, 0 to {longest:.0f} ms", "track"),
        Column("p50"), Column("p50 by round"), Column("p90"), Column("p99"), Column("samples/s"),
    ]  # fmt: skip
    rows, before = [], None
    for file, timing in found:
        rows.append(_latency_row("" if file is before else file.name, timing, longest))
        before = file
    latency = found[0][0].measured.latency
    assert latency is not None
    source, size = (" x ".join(map(str, pair)) for pair in (latency.source_size, latency.model_size))
    text = (
        f"Milliseconds per call on {latency.cpus} CPUs, {report.runs} runs after {latency.warmup} that do not count, "
        f"each file in processes of its own, {ROUNDS} times in turns; shown is the middle one. End to end: from "
        f"decoded images of {source} to the embedding of length 1; model only: from {size}. Reading and decoding files "
        "is not in it."
    )
    busy = [
        paragraph(f"{file.name}: {text}")
        for file in report.files
        if file.measured.latency is not None
        for text in file.measured.latency.warnings
    ]
    times = table("Milliseconds of one call", columns, rows)
    return section("latency", "Latency", paragraph(text), times, *busy, _providers(report))


def _latency_row(name: str, timing: Timing, longest: float) -> list[str]:
    return [
        name, timing.scope, str(timing.batch), track(timing.p50 / longest, timing.p99 / longest, timing.p50 / longest),
        f"{timing.p50:.2f}", f"{timing.spread.low:.2f} to {timing.spread.high:.2f}",
        f"{timing.p90:.2f}", f"{timing.p99:.2f}", f"{timing.samples_per_second:.1f}",
    ]  # fmt: skip


def _providers(report: BundleReport) -> Html:
    """Where each file ran. Memory of now: a process's peak counts what its parent held when it was started."""
    told = [
        (file.name, file.measured.latency, f"; {other}" if (other := file.measured.other_type) else "")
        for file in report.files
    ]
    return facts(
        (name, f"{found.provider}, threads {found.threads or 'by default'}, {_mebibytes(found.memory)} resident{note}")
        for name, found, note in told
        if found is not None
    )


def _mebibytes(value: int | None) -> str:
    return "unknown memory" if value is None else f"{value / 2**20:.0f} MiB"


def parity_section(report: BundleReport) -> Html:
    """Stage by stage and for each set of sensors, against PyTorch, when the model was exported."""
    parity = report.parity
    verdict = "passed" if parity.passed else "failed"
    text = (
        f"The export ran {parity.precision} against PyTorch on {parity.images} ({parity.provider}) and {verdict}: "
        f"largest 1 - cosine {parity.max_departure:.1e}, limit {parity.limit:.0e}. Bars are logarithmic, from "
        f"1e{_DECADES[0]:.0f} to 1; the dashed line is the limit."
    )
    return section("parity", "Parity with PyTorch", paragraph(text), _subsets(parity), _stages(parity))


def _stages(parity: StoredParity) -> Html:
    if not parity.stages:
        return missing("The export did not compare stage by stage. Export again with ", code("--trace"), " for that.")
    columns = [
        Column("stage"),
        Column("1 - cosine, logarithmic", "track"),
        Column("1 - cosine"),
        Column("largest difference"),
    ]
    rows = [
        [stage.stage, _log_track(stage.max_departure, parity.limit), f"{stage.max_departure:.1e}",
         f"{stage.max_difference:.1e}"]
        for stage in parity.stages
    ]  # fmt: skip
    return table("By stage, in the order of the network; two samples", columns, rows)


def _subsets(parity: StoredParity) -> Html:
    columns = [
        Column("sensors"), Column("largest 1 - cosine, logarithmic", "track"), Column("largest"), Column("mean"),
        Column("same top 10"), Column("samples"),
    ]  # fmt: skip
    rows = [
        [subset.sensors, _log_track(subset.max_departure, parity.limit), f"{subset.max_departure:.1e}",
         f"{subset.mean_departure:.1e}", f"{subset.rank_agreement:.1%}", str(subset.samples)]
        for subset in parity.subsets
    ]  # fmt: skip
    return table("By the sensors that are present", columns, rows)


def _log_track(value: float, limit: float) -> Html:
    bad = "bad" if not value <= limit else ""
    return track(0.0, _decade(value), None, _decade(limit), bad)


def _decade(value: float) -> float:
    low, high = _DECADES
    exponent = math.log10(value) if value > 0 else low
    return min(max((exponent - low) / (high - low), 0.004), 1.0) if math.isfinite(exponent) else 1.0
