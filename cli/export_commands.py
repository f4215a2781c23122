"""mambapro export (also mambapro-export), check, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import emit, needs, track
from .options import (
    DATASETS,
    HELP,
    PATH,
    data_option,
    dataset_option,
    device_options,
    given_switches,
    json_option,
    overwrite_option,
    switch_options,
)


@click.command(context_settings=HELP)
@click.option("--ckpt", type=PATH, required=True, help="Checkpoint: the authors' .pth, or one of mambapro train.")
@click.option("--fp16", is_flag=True, help="float16, with float32 where it is needed; default is float32.")
@click.option("--output", type=PATH, help="The bundle's folder; default: <ckpt>-fp16.mambapro beside the checkpoint.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Benchmark the model is for: image size, parity images.")
@click.option("--data", type=PATH, help="Root folder of --dataset: parity on real images instead of drawn ones.")
@click.option("--max-departure", type=float, help="Largest 1 - cosine to PyTorch; default 1e-8 (fp16: 1e-4).")
@click.option("--trace", is_flag=True, help="Compare stage by stage as well.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@switch_options
@overwrite_option
@json_option
def export(ckpt: Path, fp16: bool, max_departure: float | None, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Export a checkpoint to a verified bundle.

    Writes ONNX (opset 20), runs it against PyTorch for all seven sets of present sensors, and keeps the bundle only if
    the numbers are PyTorch's (exit code 5 otherwise).
    """
    with needs("export"):
        from ..export.pipeline import export_bundle, plan_export
        from ..export.plan import ExportOptions

    switches = given_switches(values)
    data = values.pop("data")
    options = ExportOptions(
        checkpoint=ckpt,
        precision="fp16" if fp16 else "fp32",
        limit=max_departure,
        switches=switches,
        data=None if data is None else str(data),
        **values,
    )
    emit(plan_export(options) if dry_run else export_bundle(options, track), as_json)


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--data", type=PATH, help="Root folder of --dataset: gates the mAP of artifacts not verified so far.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Which benchmark --data holds.")
@device_options
@json_option
def check(bundle: Path, data: Path | None, dataset: str | None, as_json: bool, **values: Any) -> None:
    """Verify every hash of a BUNDLE and replay its goldens on this machine, through every artifact that runs here.

    Artifacts that were built where they could not run are marked verified where they pass.
    """
    from ..runtime.check import check_bundle
    from ..runtime.data.benchmarks import read_benchmark

    if (data is None) != (dataset is None):
        raise click.UsageError("--data and --dataset belong together: give both, or none.")
    benchmark = None if data is None or dataset is None else read_benchmark(dataset, data)
    emit(check_bundle(bundle, track=track, benchmark=benchmark, **values), as_json)


@click.command()
@click.argument("bundles", type=PATH, nargs=-1, required=True)
@click.option("--ckpt", type=PATH, required=True, help="The checkpoint the bundles were exported from.")
@data_option
@dataset_option
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True, help="Timed runs of each.")
@switch_options
@json_option
def compare(
    bundles: tuple[Path, ...], ckpt: Path, data: Path, dataset: str, runs: int, as_json: bool, **values: Any
) -> None:
    """Compare BUNDLES with the checkpoint in PyTorch: accuracy, cosine, latency, on one benchmark in one run."""
    with needs("export"):
        from ..export.compare import compare_bundles

    switches, size = given_switches(values), values.pop("image_size")
    report = compare_bundles(ckpt, bundles, data, dataset, image_size=size, switches=switches, runs=runs, track=track)
    emit(report, as_json)
