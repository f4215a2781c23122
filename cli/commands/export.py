"""mambapro export, also mambapro-export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options.building import artifact_options, asked_precision, build_options, fraction, wanted_targets
from ..options.images import image_options
from ..options.renamed import Command
from ..options.shared import (
    ANY_DATASET,
    HELP,
    PATH,
    TARGETS,
    gathered,
    json_option,
    max_cosine_distance_option,
    overwrite_option,
    switch_options,
)
from ..terminal.console import emit, needs, track

#: Fields of MODEL_CARD.md that nobody else knows.
_CARD = {
    "license": click.option(
        "--license", metavar="TEXT", help="License of the weights for MODEL_CARD.md, such as an SPDX identifier."
    ),
    "data_license": click.option(
        "--data-license", metavar="TEXT", help="License of the training data, for MODEL_CARD.md."
    ),
    "note": click.option("--card-note", "note", metavar="TEXT", help="Intended use and limits, for MODEL_CARD.md."),
}


@click.command(cls=Command, context_settings=HELP)
@click.option("--ckpt", type=PATH, required=True, help="Checkpoint: the authors' .pth, or one of mambapro train.")
@click.option("--fp16", is_flag=True, help="float16, with float32 where it is needed; default is float32.")
@click.option("--bf16", is_flag=True, help="bfloat16 for --target: OpenVINO's hint, or TensorRT.")
@click.option("--int8", is_flag=True, help="int8 for --target, calibrated on --calib; default target ONNX Runtime.")
@click.option(
    "--target", "targets", type=click.Choice(TARGETS), multiple=True, help="Also build for this runtime; repeat it."
)
@click.option("--output", type=PATH, help="The bundle's folder; default: <ckpt>-<precision>.mambapro beside it.")
@click.option("--dataset", type=ANY_DATASET, help="Benchmark the model is for: image size, parity images.")
@click.option("--data", type=PATH, help="Root of --dataset: parity on real images; accuracy of fp16 and int8 is gated.")
@max_cosine_distance_option("default 1e-8 (fp16: 1e-4), of logits 1e-4 (2e-2)")
@click.option("--trace", is_flag=True, help="Compare stage by stage as well.")
@gathered("card", _CARD, only_set=True)
@click.option("--labels", type=PATH, help="JSON list of the attributes' names, where the checkpoint has none.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@build_options
@switch_options
@overwrite_option
@image_options
@json_option
def export(
    ckpt: Path,
    fp16: bool,
    bf16: bool,
    int8: bool,
    targets: tuple[str, ...],
    dataset: str | None,
    data: Path | None,
    card: dict[str, Any],
    calibration: dict[str, Any],
    engine: dict[str, Any],
    max_map_drop: float | None,
    force: bool,
    max_cosine_distance: float | None,
    dry_run: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Export a checkpoint to a verified bundle.

    Writes ONNX (opset 20), runs it against PyTorch, a model of several sensors for every set of present ones, and keeps
    the bundle only if the numbers are PyTorch's (exit code 5 otherwise). With --fp16 and --data the accuracy on the
    test set must be kept too (exit code 6): mAP, of attributes mA and F1. With --target the bundle also holds what that
    runtime loads, in the precision asked for; it is kept only if that passes its gates too (exit code 6 for lost
    accuracy).
    """
    with needs("export"):
        from ...export.artifacts.build_options import QuantizeOptions
        from ...export.pipeline import export_bundle, plan_export
        from ...export.pytorch.plan import ExportOptions
    from ...runtime.bundle.metadata_parts import CardFields
    from ...runtime.data.image_settings import image_settings

    precision, base = asked_precision(fp16, bf16, int8), "fp16" if fp16 else "fp32"
    # a distance that is allowed for int8 or bf16 is not one of the exported model itself
    of_base, of_builds = (max_cosine_distance, None) if precision == base else (None, max_cosine_distance)
    quantize = QuantizeOptions(data=data, dataset=dataset, **calibration)
    root = data or quantize.benchmark_root
    gates: dict[str, Any] = {"max_map_drop": max_map_drop, "max_departure": of_builds, "force": force}
    options = ExportOptions(
        checkpoint=ckpt,
        precision=base,
        label=precision,
        limit=of_base,
        dataset=dataset,
        data=None if data is None else str(data),
        parity_data=None if root is None else str(root),
        max_map_drop=fraction(max_map_drop),
        sixteen_bit_range=image_settings().sixteen_bit_range or None,
        builds=artifact_options(
            wanted_targets(targets, precision), precision, quantize, engine, gated_export=fp16, **gates
        ),
        quantize=quantize,
        card=CardFields(**card) if card else None,
        **values,
    )
    emit(plan_export(options) if dry_run else export_bundle(options, track), as_json)
