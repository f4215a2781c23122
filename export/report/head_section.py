"""The first screen: may I deploy this?"""

from __future__ import annotations

from ...runtime.latency import END_TO_END
from ...runtime.metadata import VERIFIED
from .html import Column, Html, badge, facts, html, joined, paragraph, table
from .report import BundleReport, FileReport
from .verdict import OPEN, READY, REFUSED

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
            _not_run(report),
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
    words = ["It returns PyTorch's numbers within its limit"]
    if file.verdict.accuracy:
        words.append("keeps its mAP within its limit")
    if file.verdict.speed:
        words.append("is faster than 16 bits on its target")
    if file.measured.problem is None:
        end = "It ran on this machine."
    else:
        end = "It was verified on another machine and did not run here, see below."
    return paragraph(f"{', '.join(words)}. {end}", "why")


def _tiles(report: BundleReport) -> Html:
    file = report.choice
    tiles = [_numbers_tile(file), _accuracy_tile(report, file), _time_tile(report, file), _size_tile(file)]
    shown = "".join(
        f'<div class="tile"><p>{html(name)}</p><p class="value">{html(value)}</p><p>{html(note)}</p></div>'
        for name, value, note in tiles
    )
    return Html(f'<div class="tiles" aria-label="Numbers of {html(file.name)}">{shown}</div>')


def _numbers_tile(file: FileReport) -> tuple[str, str, str]:
    name = "largest 1 - cosine to PyTorch"
    if file.measured.replay is not None:
        found = file.measured.replay
        return name, f"{found.largest:.1e}", f"limit {found.limit:.0e}; {found.samples} goldens, here"
    if file.cosine is not None:
        return name, f"{file.cosine.largest:.1e}", f"limit {file.cosine.limit:.0e}; {file.cosine.samples} samples"
    return name, "not measured", "run mambapro check on its device"


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
        Column(f"ms here, batch {report.batches[0]}"), Column("MB"), Column("verified on", "text"),
    ]  # fmt: skip
    return table(
        "Every file of the bundle, and the gates it had to pass",
        columns,
        map(lambda f: _gate_row(report, f), report.files),
    )


def _gate_row(report: BundleReport, file: FileReport) -> list[str]:
    sidecar = file.sidecar
    time = file.measured.milliseconds(END_TO_END, report.batches[0])
    here = "verified" if sidecar.state == VERIFIED else "unverified"
    return [
        file.name,
        badge(*_WORDS[file.verdict.state]),
        _cosine_cell(file),
        _drop_cell(file),
        "" if sidecar.speed is None else _with(f"{sidecar.speed.ratio:.2f}x", f"against {sidecar.speed.other}"),
        "did not run" if time is None else f"{time:.1f}",
        f"{sidecar.build.bytes / 1e6:.1f}",
        sidecar.verified_on or here,
    ]


def _cosine_cell(file: FileReport) -> str:
    replay, gate = file.measured.replay, file.cosine
    if replay is not None:
        return _with(f"{replay.largest:.1e}", f"limit {replay.limit:.0e}, here")
    if gate is not None:
        return _with(f"{gate.largest:.1e}", f"limit {gate.limit:.0e}, as built")
    return "not measured"


def _drop_cell(file: FileReport) -> str:
    gate, here = file.sidecar.accuracy, file.measured.difference("mAP")
    limit = file.sidecar.max_map_drop
    told = f", limit {100 * limit:.2f}" if limit > 0 else ""
    if here is not None:
        interval = f"[{-100 * here.high:+.2f}, {-100 * here.low:+.2f}]"
        return _with(f"{-100 * here.difference:+.2f}", f"{interval}{told}, here")
    if gate is not None:
        interval = f"[{100 * gate.low:+.2f}, {100 * gate.high:+.2f}]"
        return _with(f"{100 * gate.drop:+.2f}", f"{interval}, limit {100 * gate.limit:.2f}, {gate.dataset}")
    return "reference" if file is not None and file.sidecar.precision == "fp32" else "not measured"


def _with(value: str, note: str) -> Html:
    return Html(f"{html(value)}<small>{html(note)}</small>")


def _not_run(report: BundleReport) -> Html:
    """Reasons why files are not ready, and why they did not run; nothing is dropped."""
    pairs = [
        (file.name, f"did not run here: {file.measured.problem}") for file in report.files if file.measured.problem
    ]
    pairs += [
        (f.name, reason)
        for f in report.files
        if f is not report.choice or report.state == READY
        for reason in f.verdict.reasons
    ]
    return facts(pairs) if pairs else Html("")
