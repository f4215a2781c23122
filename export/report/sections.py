"""The sections below the first screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...runtime.evaluation_report import PART, SUBSET, EvaluationReport, EvaluationRow, percent
from ...runtime.latency import Timing
from .html import Column, Html, code, facts, folded, html, joined, paragraph, section, table, track
from .report import BundleReport, FileReport
from .stored import StoredParity

#: The smallest departure that the logarithmic axis shows: below it is the noise of float64.
_DECADES = (-14.0, 0.0)

_WITHOUT_DATA = (
    "Labelled images are needed, and none were given, so nothing was measured. Give a benchmark's folder and its name: "
)
_EXAMPLE = "mambapro report {} --data DATA --dataset rgbnt201"


def accuracy_section(report: BundleReport) -> Html:
    """mAP of each file, for all sensors, each incomplete set of them, and each third of the feature."""
    found = [(file.name, file.measured.accuracy) for file in report.files if file.measured.accuracy is not None]
    if not found:
        text = _WITHOUT_DATA if report.dataset is None else "No file of the bundle ran on this machine. "
        example = [code(_EXAMPLE.format(report.bundle))] if report.dataset is None else []
        built = [_built(file) for file in report.files if file.sidecar.accuracy is not None]
        return section("accuracy", "Retrieval accuracy", _missing(text, *example), *built)
    first = found[0][1]
    assert first is not None
    intervals = first.rows[0].intervals
    told = (
        f"Bars are {100 * intervals.level:g} % intervals from {intervals.resamples} bootstrap resamples of the queries, "
        f"seed {intervals.seed}; queries of one identity resemble each other, so that with few identities the true "
        "uncertainty is larger."
        if intervals
        else "Without intervals: no bootstrap was asked for."
    )
    queries = (
        f"{first.dataset}: {first.whole.queries} queries, gallery of {first.gallery}; images of the query's identity "
        f"and {first.junk} do not count."
    )
    reports = [(name, accuracy) for name, accuracy in found if accuracy is not None]
    return section(
        "accuracy", "Retrieval accuracy", paragraph(f"{queries} {told}"), _accuracy_table(reports), _paired(report)
    )


def _built(file: FileReport) -> Html:
    gate = file.sidecar.accuracy
    assert gate is not None
    return paragraph(
        f"When {file.name} was built: mAP {percent(gate.found)} on {gate.dataset}, {100 * gate.drop:+.2f} points less "
        f"than float32, 95 % interval [{100 * gate.low:+.2f}, {100 * gate.high:+.2f}], limit {100 * gate.limit:.2f}."
    )


_ROW_HEADS = {SUBSET: "sensors missing from query and gallery", PART: "one third of the feature alone"}


def _accuracy_table(reports: Sequence[tuple[str, EvaluationReport]]) -> Html:
    columns = [
        Column("sensors"), Column("file", "text"), Column("mAP, 0 to 100 %", "track"), Column("mAP"),
        Column("95 %"), Column("Rank-1"), Column("Rank-5"), Column("mINP"),
    ]  # fmt: skip
    rows = []
    for i, first in enumerate(reports[0][1].rows):
        note = _ROW_HEADS.get(first.kind)
        name = (
            Html(f"{html(first.sensors)}<small> {html('third' if first.kind == PART else '')}</small>")
            if note
            else first.sensors
        )
        rows += [_accuracy_row(name if not n else "", file, report.rows[i]) for n, (file, report) in enumerate(reports)]
    caption = (
        "Sensors that a row does not name are missing from query and gallery. A third is a part of the feature with all "
        "sensors present."
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
    rows = [
        [file.name if not i else "", found.name, f"{100 * found.difference:+.2f}",
         f"[{100 * found.low:+.2f}, {100 * found.high:+.2f}]"]
        for file in report.files
        for i, found in enumerate(file.measured.against_base)
    ]  # fmt: skip
    if not rows:
        return Html("")
    columns = [Column("file"), Column("measure", "text"), Column("difference, points"), Column("95 %")]
    return table(f"Against {report.files[0].name}, on the same queries", columns, rows, "narrow")


def latency_section(report: BundleReport) -> Html:
    """Percentiles of every file that runs here."""
    found = [
        (file, timing) for file in report.files if file.measured.latency for timing in file.measured.latency.timings
    ]
    if not found:
        return section("latency", "Latency", _missing("No file of the bundle ran on this machine."))
    longest = max(timing.p99 for _, timing in found)
    columns = [
        Column("file"), Column("scope", "text"), Column("batch"), Column(f"p50 to p99, 0 to {longest:.0f} ms", "track"),
        Column("p50"), Column("p90"), Column("p99"), Column("samples/s"),
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
        f"each file in a process of its own. End to end: from decoded images of {source} to the embedding of length 1; "
        f"model only: from {size}. Reading and decoding files is not in it."
    )
    return section("latency", "Latency", paragraph(text), table("Latency here", columns, rows), _providers(report))


def _latency_row(name: str, timing: Timing, longest: float) -> list[str]:
    return [
        name, timing.scope, str(timing.batch), track(timing.p50 / longest, timing.p99 / longest, timing.p50 / longest),
        f"{timing.p50:.2f}", f"{timing.p90:.2f}", f"{timing.p99:.2f}", f"{timing.samples_per_second:.1f}",
    ]  # fmt: skip


def _providers(report: BundleReport) -> Html:
    told = [(file.name, file.measured.latency) for file in report.files]
    return facts(
        (
            name,
            f"{latency.provider}, threads {latency.threads or 'by default'}, at most {_mebibytes(latency.peak_memory)}",
        )
        for name, latency in told
        if latency is not None
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
        return _missing("The export did not compare stage by stage. Export again with ", code("--trace"), " for that.")
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


def environment_section(report: BundleReport) -> Html:
    """The machine of the report, what made the bundle, how to make the page again."""
    env, metadata = report.environment, report.metadata
    memory = "unknown" if env.memory is None else f"{env.memory / 2**30:.1f} GiB"
    installed = ", ".join(f"{name} {version}" for name, version in env.packages.items() if version)
    machine = [
        ("mambapro", env.mambapro), ("Python", env.python), ("platform", env.platform),
        ("processor", f"{env.processor}, {env.cpus} usable"), ("instructions", " ".join(env.processor_flags) or "unknown"),
        ("memory", memory), ("GPU", ", ".join(env.gpus) or "none"), ("NVIDIA driver", env.nvidia_driver or "none"),
        *([("Jetson", env.jetson)] if env.jetson else []), ("packages", installed),
    ]  # fmt: skip
    made = [
        ("feature space", code(metadata.feature_space.id)),
        ("checkpoint", f"{metadata.checkpoint.file}, SHA-256 {metadata.checkpoint.sha256}"),
        ("exported", f"{metadata.created}, commit {metadata.git_commit or 'unknown'}"),
        ("with", ", ".join(f"{name} {version}" for name, version in metadata.versions.items())),
        ("this report", report.made),
    ]
    return section(
        "environment", "Environment",
        Html("<h3>This machine</h3>"), facts(machine), Html("<h3>The bundle</h3>"), facts(made), _sidecars(report),
    )  # fmt: skip


def _sidecars(report: BundleReport) -> Html:
    """What every file needs and what made it."""
    blocks = []
    for file in report.files:
        sidecar = file.sidecar
        pairs = [("file", sidecar.file), ("SHA-256", code(sidecar.sha256)), ("made from", sidecar.onnx)]
        pairs += [("hint", sidecar.hint)] if sidecar.hint else []
        pairs += [("scales", code(sidecar.calibration))] if sidecar.calibration else []
        pairs += [("kept in float32", ", ".join(sidecar.widened))] if sidecar.widened else []
        if sidecar.profile is not None:
            profile = sidecar.profile
            pairs.append(("batches", f"{profile.smallest} to {profile.largest}, fastest at {profile.usual}"))
        if sidecar.engine is not None:
            engine = sidecar.engine
            pairs.append(("library", engine.library))
            pairs.append(("GPUs", f"compute capability {', '.join(engine.compute_capabilities)} ({engine.hardware})"))
            pairs.append(("platform", engine.platform))
            pairs.append(("scan plugin", engine.plugin.kind))
        if sidecar.versions:
            pairs.append(("with", ", ".join(f"{name} {version}" for name, version in sidecar.versions.items())))
        blocks.append(folded(file.name, facts(pairs)))
    return joined([Html("<h3>The files</h3>"), *blocks])


def _missing(*parts: str) -> Html:
    return Html(f'<p class="missing">{"".join(html(part) for part in parts)}</p>')
