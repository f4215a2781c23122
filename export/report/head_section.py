"""The first screen: may I deploy this?"""

from __future__ import annotations

from ...runtime.evaluation.latency import END_TO_END
from .bundle_report import BundleReport, FileReport
from .html import Column, Html, badge, facts, html, joined, paragraph, points, table
from .readiness import OPEN, READY, REFERENCE, REFUSED, map_limit

_ANSWERS = {READY: "Yes: {}", OPEN: "Not yet: {} has open questions", REFUSED: "No: no file passed its gates"}
_WORDS = {READY: ("ready", "yes"), OPEN: ("open", "care"), REFUSED: ("refused", "no")}


def head(report: BundleReport) -> Html:
    """Title, answer, the numbers of the file to deploy, and the gates of all."""
    metadata = report.metadata
    size = f"{metadata.preprocessing.height} x {metadata.preprocessing.width}"
    return joined(
        [
            Html(f"<h1>{html(report.bundle)}</h1>"),
            paragraph(
                f"{metadata.name}: {', '.join(metadata.modalities)} of {size} to {metadata.dim} numbers, "
                f"for {', '.join(metadata.datasets) or 'no benchmark in particular'}",
                "lead",
            ),
            _answer(report),
            _tiles(report),
            _gates(report),
            _reasons(report),
        ]
    )


def _answer(report: BundleReport) -> Html:
    choice = report.choice
    if report.state == READY:
        why = _praise(choice)
    else:
        why = Html("<ul>" + "".join(f"<li>{html(reason)}</li>" for reason in choice.verdict.reasons) + "</ul>")
    return Html(
        f'<div class="answer {report.state}"><p class="ask">May I deploy this?</p>'
        f'<p class="big">{html(_ANSWERS[report.state].format(choice.name))}</p>{why}</div>'
    )


def _praise(file: FileReport) -> Html:
    """What stands behind a yes."""
    words = ["returns PyTorch's numbers within its limit"]
    words += ["keeps its mAP within its limit"] if file.verdict.accuracy else []
    words += ["is faster than its target's higher precisions"] if file.verdict.speed else []
    *first, last = words
    told = f"It {', '.join(first)} and {last}." if first else f"It {last}."
    if file.measured.not_run is None:
        return paragraph(f"{told} It ran on this machine.", "why")
    return paragraph(f"{told} It was verified on {file.sidecar.verified_on}, and does not run here.", "why")


def _tiles(report: BundleReport) -> Html:
    file = report.choice
    tiles = [_numbers_tile(file), _accuracy_tile(report, file), _time_tile(report, file), _size_tile(file)]
    shown = "".join(
        f'<div class="tile"><p>{html(name)}</p><p class="value">{html(value)}</p><p>{html(note)}</p></div>'
        for name, value, note in tiles
    )
    return Html(f'<div class="tiles" role="group" aria-label="Numbers of {html(file.name)}">{shown}</div>')


def _numbers_tile(file: FileReport) -> tuple[str, str, str]:
    name, found = "largest 1 - cosine to PyTorch", file.measured.cosine or file.cosine
    if found is None:
        return name, "not measured", "mambapro check measures it"
    where = "here" if file.measured.cosine else "when it was made"
    return name, f"{found.largest:.1e}", f"limit {found.limit:.0e}; {found.samples} samples, {where}"


def _accuracy_tile(report: BundleReport, file: FileReport) -> tuple[str, str, str]:
    found = file.measured.accuracy
    if found is not None:
        intervals = found.rows[0].intervals
        interval = f"{intervals.map}, " if intervals else ""
        return "mAP", f"{100 * found.map:.1f} %", f"{interval}{found.dataset}, {found.whole.queries} queries"
    gate = file.sidecar.accuracy
    if gate is not None:
        return "mAP", f"{100 * gate.found:.1f} %", f"{gate.dataset}, {gate.queries} queries, when it was built"
    wanted = "did not run here" if report.dataset else "needs --data and --dataset"
    return "mAP", "not measured", wanted


def _time_tile(report: BundleReport, file: FileReport) -> tuple[str, str, str]:
    batch = report.batches[0]
    name = f"median, batch {batch}, end to end"
    found = file.measured.latency
    timing = next((t for t in found.timings if (t.scope, t.batch) == (END_TO_END, batch)), None) if found else None
    if found is not None and timing is not None:
        return name, f"{timing.p50:.1f} ms", f"p99 {timing.p99:.1f} ms; {found.provider}, {found.cpus} CPUs"
    return name, "not timed", "did not run here"


def _size_tile(file: FileReport) -> tuple[str, str, str]:
    shares = file.map.shares()
    largest = next(iter(shares.items()), None)
    note = "" if largest is None else f"{largest[1]:.0%} of the weights in {largest[0]}"
    return "size of the file", f"{file.sidecar.build.bytes / 1e6:.1f} MB", note


def _gates(report: BundleReport) -> Html:
    columns = [
        Column("file"), Column("verdict", "text"), Column("1 - cosine"), Column("mAP drop, points"), Column("speed"),
        Column(f"ms here, batch {report.batches[0]}"), Column("MB"),
    ]  # fmt: skip
    rows = (_gate_row(report, file) for file in report.files)
    return table("Every file of the bundle, and the gates that it has to pass", columns, rows)


def _gate_row(report: BundleReport, file: FileReport) -> list[str]:
    time = file.measured.milliseconds(END_TO_END, report.batches[0])
    state = file.sidecar.state if file.measured.not_run is None else f"{file.sidecar.state}, not run here"
    return [
        file.name, _with(badge(*_WORDS[file.verdict.state]), state), _cosine_cell(file), _drop_cell(file),
        _speed_cell(file), "-" if time is None else f"{time:.1f}", f"{file.sidecar.build.bytes / 1e6:.1f}",
    ]  # fmt: skip


def _cosine_cell(file: FileReport) -> str:
    found = file.measured.cosine or file.cosine
    if found is None:
        return "not measured"
    where = "here" if file.measured.cosine else "when made"
    return _with(f"{found.largest:.1e}", f"limit {found.limit:.0e}, {where}")


def _drop_cell(file: FileReport) -> str:
    gate, here, limit = file.sidecar.accuracy, file.measured.difference("mAP"), map_limit(file.sidecar)
    if here is not None:
        told = [f"limit {100 * limit:.2f}"] if limit > 0 else []
        if here.low is not None and here.high is not None:
            told.insert(0, f"{points(-here.high)} to {points(-here.low)}")
        return _with(points(-here.difference), ", ".join([*told, "here"]))
    if gate is not None:
        interval = f"{points(gate.low)} to {points(gate.high)}"
        return _with(points(gate.drop), f"{interval}, limit {100 * gate.limit:.2f}, when made")
    return "reference" if file.sidecar.precision == REFERENCE else "not measured"


def _speed_cell(file: FileReport) -> str:
    speed = file.sidecar.speed
    if speed is None:
        return "-"
    rounds = f", {speed.low:.2f} to {speed.high:.2f} in {len(speed.ratios)} rounds" if speed.ratios else ""
    return _with(f"{speed.ratio:.2f} times", f"as fast as {speed.other}{rounds}, when made")


def _with(value: str, note: str) -> Html:
    return Html(f"{html(value)}<small>{html(note)}</small>")


def _reasons(report: BundleReport) -> Html:
    """Why files are not ready, and why they did not run; nothing is dropped."""
    pairs: list[tuple[str, str]] = []
    for file in report.files:
        # those of the choice stand in the answer already
        told = [] if file is report.choice else list(file.verdict.reasons)
        told += [f"does not run here: {file.measured.not_run}"] if file.measured.not_run else []
        pairs += [("" if i else file.name, reason) for i, reason in enumerate(told)]
    return facts(pairs) if pairs else Html("")
