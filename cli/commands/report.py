"""mambapro report."""

from __future__ import annotations

from typing import Any

import click

from ..options.images import image_options
from ..options.shared import ANY_DATASET, PATH, Numbers, json_option, overwrite_option, seed_option
from ..terminal.console import emit, needs, track


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--data", type=PATH, help="Root folder of a benchmark, to measure accuracy on.")
@click.option("--dataset", type=ANY_DATASET, help="Which benchmark --data holds.")
@click.option("--sensitivity", type=PATH, help="Folder that a sensitivity analysis wrote, to show.")
@click.option("--out", type=PATH, default="report.html", show_default=True, help="The page to write.")
@click.option("--runs", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each file.")
@click.option("--batch", "batches", type=Numbers(), default="1", show_default=True, help="Batch sizes to time.")
@click.option(
    "--strips-count",
    "strips",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="Queries, or labels, to draw.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Resamples of the queries or images for the 95 % intervals; 0 = no intervals.",
)
@seed_option
@overwrite_option
@image_options
@json_option
def report(as_json: bool, **values: Any) -> None:
    """Write an HTML page on the readiness of BUNDLE.

    It gives the reasons for its verdict. Every file of the bundle is replayed and timed on this machine; with --data it
    is evaluated as well. Files that do not run here are listed with the reason. The page is self-contained and smaller
    than 5 MB.
    """
    with needs("export"):
        from ...export.report.write_report import ReportOptions, report_bundle

    emit(report_bundle(ReportOptions(**values), track), as_json)
