"""mambapro bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.shared import PATH, Numbers, json_option, run_options
from ..terminal.console import emit, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--batch", "batches", type=Numbers(), default="1", show_default=True, help="Batch sizes to time.")
@click.option(
    "--runs", type=click.IntRange(1), default=50, show_default=True, help="Timed runs of each, in all rounds."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds in which they take turns.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Runs before the timed ones.")
@click.option("--seconds", type=float, default=0.0, help="Go on with the timed runs of each until so long has passed.")
@click.option("--model-only", is_flag=True, help="Time the model alone, not end to end as well.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one operator; default: the library's choice.")
@run_options
@json_option
def bench(
    bundle: Path,
    batches: tuple[int, ...],
    runs: int,
    rounds: int,
    warmup: int,
    seconds: float,
    model_only: bool,
    threads: int | None,
    running: dict[str, Any],
    as_json: bool,
) -> None:
    """Time BUNDLE: latency, throughput, memory.

    Percentiles are given end to end and of the model alone. Batch sizes and scopes take turns in rounds; if the rounds
    disagree, the machine was busy, and a line reports it.
    """
    from ...runtime.evaluation.latency import END_TO_END, MODEL_ONLY, measure_latency
    from ...runtime.extractor import open_session
    from ...runtime.run_options import RunOptions

    scopes = (MODEL_ONLY,) if model_only else (END_TO_END, MODEL_ONLY)
    options = RunOptions(batch_size=max(batches), threads=threads, **running)
    with open_session(bundle, options) as session:
        report = measure_latency(session, batches, runs, warmup, track, seconds=seconds, scopes=scopes, rounds=rounds)
    emit(report, as_json)
