"""mambapro export (also mambapro-export), check, compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..builder import Builder
from ..options.building import asked_precision, build_options, wanted_targets
from ..options.images import image_options
from ..options.shared import (
    DATASETS,
    HELP,
    PATH,
    TARGETS,
    check_options,
    data_option,
    dataset_option,
    given_switches,
    json_option,
    overwrite_option,
    switch_options,
)
from ..quantizing import benchmark_root
from ..terminal.console import emit, needs, track


@click.command(context_settings=HELP)
@click.option("--ckpt", type=PATH, required=True, help="Checkpoint: the authors' .pth, or one of mambapro train.")
@click.option("--fp16", is_flag=True, help="float16, with float32 where it is needed; default is float32.")
@click.option("--bf16", is_flag=True, help="bfloat16 for --target: OpenVINO's hint, or TensorRT.")
@click.option("--int8", is_flag=True, help="int8 for --target, calibrated on --calib; default target ONNX Runtime.")
@click.option(
    "--target", "targets", type=click.Choice(TARGETS), multiple=True, help="Also build for this runtime; repeat it."
)
@click.option("--output", type=PATH, help="The bundle's folder; default: <ckpt>-<precision>.mambapro beside it.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Benchmark the model is for: image size, parity images.")
@click.option("--data", type=PATH, help="Root of --dataset: parity on real images; mAP of fp16 and int8 is gated.")
@click.option("--max-departure", type=float, help="Largest 1 - cosine to PyTorch; default 1e-8 (fp16: 1e-4).")
@click.option("--trace", is_flag=True, help="Compare stage by stage as well.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@build_options
@switch_options
@overwrite_option
@image_options
@json_option
def export(
    ckpt: Path, max_departure: float | None, targets: tuple[str, ...], dry_run: bool, as_json: bool, **values: Any
) -> None:
    """Export a checkpoint to a verified bundle, and build it for the runtimes you name.

    Writes ONNX (opset 20), runs it against PyTorch for all seven sets of present sensors, and keeps the bundle only if
    the numbers are PyTorch's (exit code 5 otherwise). With --fp16 and --data the mAP of the test set must be kept too
    (exit code 6). With --target the bundle also holds what that runtime loads, in
    the precision asked for; it is kept only if that passes its gates too (exit code 6 for lost accuracy).
    """
    with needs("export"):
        from ...export.pipeline import export_bundle, plan_export
        from ...export.pytorch.plan import ExportOptions
    from ...runtime.data.image_settings import image_settings

    precision = asked_precision(values)
    base = "fp16" if precision == "fp16" else "fp32"
    switches, data = given_switches(values), values.pop("data")
    # a departure that is allowed for int8 or bf16 is not one of the exported model itself
    own = {} if precision == base else {"max_departure": max_departure}
    root = data or benchmark_root(values["calib"], values["dataset"])
    builder = Builder(values, wanted_targets(targets, precision), precision, base, data, values["dataset"], **own)
    options = ExportOptions(
        checkpoint=ckpt,
        precision=base,
        label=precision,
        limit=max_departure if precision == base else None,
        switches=switches,
        data=None if data is None else str(data),
        parity_data=None if root is None else str(root),
        max_map_drop=builder.max_map_drop,
        sixteen_bit_range=image_settings().sixteen_bit_range or None,
        **values,
    )
    finish = builder.build if builder.options else None
    if dry_run:
        builds = tuple(f"{option.target}-{option.precision}" for option in builder.options)
        emit(replace(plan_export(options), builds=builds), as_json)
        return
    check = builder.quantizer(options.bundle).range_check
    emit(export_bundle(options, track, finish, check), as_json)


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--data", type=PATH, help="Root folder of --dataset: gates the mAP of artifacts that were not gated.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Which benchmark --data holds.")
@click.option(
    "--images",
    type=PATH,
    help="Folder with rgb/, nir/ and tir/: say whether 16-bit values fit the bundle's range.",
)
@click.option("--force", is_flag=True, help="Mark int8 verified though it is not faster here.")
@click.option("--max-departure", type=float, help="Largest 1 - cosine to PyTorch, where it may be more than usual.")
@click.option("--max-map-drop", type=float, help="Largest loss of mAP in points, where it may be more than usual.")
@check_options
@image_options
@json_option
def check(
    bundle: Path,
    data: Path | None,
    dataset: str | None,
    images: Path | None,
    max_map_drop: float | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Verify every hash of a BUNDLE and replay its goldens on this machine, through every artifact that runs here.

    Artifacts that were built where they could not run are marked verified where they pass; int8 only where it is
    faster than the other precisions of its target (exit code 6).
    """
    from ...runtime.bundle.bundle import Bundle
    from ...runtime.data.range_survey import survey_folder, tell_ranges
    from ...runtime.data.readers.benchmarks import read_benchmark
    from ...runtime.suited import warn_of_other_benchmark
    from ...runtime.verification.check import check_bundle

    if (data is None) != (dataset is None):
        raise click.UsageError("--data and --dataset belong together: give both, or none.")
    if dataset is not None:
        warn_of_other_benchmark(Bundle.open(bundle, verify=False).metadata, dataset)
    benchmark = None if data is None or dataset is None else read_benchmark(dataset, data, test_only=True)
    if images is not None:
        metadata = Bundle.open(bundle).metadata.ranged()
        tell_ranges(survey_folder(images, metadata.modalities), metadata.preprocessing)
    drop = None if max_map_drop is None else max_map_drop / 100
    emit(check_bundle(bundle, track=track, benchmark=benchmark, max_map_drop=drop, **values), as_json)


@click.command()
@click.argument("bundles", type=PATH, nargs=-1, required=True)
@click.option("--ckpt", type=PATH, required=True, help="The checkpoint the bundles were exported from.")
@data_option
@dataset_option
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True, help="Timed runs of each.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds in which they take turns.")
@switch_options
@image_options
@json_option
def compare(
    bundles: tuple[Path, ...],
    ckpt: Path,
    data: Path,
    dataset: str,
    runs: int,
    rounds: int,
    as_json: bool,
    **values: Any,
) -> None:
    """Compare BUNDLES with the checkpoint in PyTorch: accuracy, cosine, latency, on one benchmark in one run.

    Each model is timed in a process of its own, in rounds in which they take turns. Where the rounds of a ratio
    disagree the machine was busy, and the rounds are told instead of the ratio.
    """
    with needs("export"):
        from ...export.comparison.compare import compare_bundles

    switches, size = given_switches(values), values.pop("image_size")
    report = compare_bundles(
        ckpt, bundles, data, dataset, image_size=size, switches=switches, runs=runs, rounds=rounds, track=track
    )
    emit(report, as_json)
